dt_pytest(identity.login identity/test_login.py 600)
dt_pytest(identity.members identity/test_members.py 600)
dt_pytest(identity.access identity/test_access.py 900)
dt_unit(directory runnerd_parts)
