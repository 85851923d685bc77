dt_unit(http_text net)
dt_unit(http_server net)
dt_unit(http_client net net_dns)
dt_unit(proxy net)
