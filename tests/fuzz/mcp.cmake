dt_fuzz(rpc_line mcp net_dns net_tls)
dt_fuzz(jsonc mcp_agents)
dt_fuzz(toml mcp_agents)
