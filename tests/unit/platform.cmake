dt_unit(ip model)
dt_unit(audit runnerd_parts)
dt_unit(vault runnerd_parts)
dt_pytest(platform.audit platform/test_audit.py 600)
