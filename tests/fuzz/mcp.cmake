dt_fuzz(rpc_line mcp)
dt_fuzz(jsonc mcp_agents)
dt_fuzz(toml mcp_agents)
