dt_unit(live runnerd_parts)
dt_pytest(integration.api integration/test_api.py 600)
dt_pytest(integration.volumes integration/test_volumes.py 900)
