dt_pytest(mcp.clients mcp/test_clients.py 900)
dt_pytest(mcp.preview mcp/test_preview.py 600)
dt_pytest(security.sandbox security/test_sandbox.py 900)
dt_pytest(fault.kill fault/test_kill.py 900)
