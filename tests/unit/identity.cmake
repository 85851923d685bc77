dt_pytest(identity.login identity/test_login.py 600)
