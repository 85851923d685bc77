dt_pytest(mcp.clients mcp/test_clients.py 900)
