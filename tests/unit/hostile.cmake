dt_pytest(mcp.git mcp/test_git.py 600)
dt_pytest(mcp.hostile mcp/test_hostile.py 900)
