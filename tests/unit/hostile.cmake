dt_pytest(mcp.git mcp/test_git.py 600)
