dt_unit(live runnerd_parts)
dt_pytest(integration.api integration/test_api.py 600)
