"""A server with a real OpenID provider, and people who are logged in."""
import contextlib
import functools

import backend
import issuer

NAMES = ("olga", "max", "dora", "rita", "victor", "stranger")
BUILT_IN = {name: f"00000000-0000-0000-0000-{number:012d}" for number, name in enumerate(
    ("Developer", "Sandboxes Admin", "Snapshots Admin", "Registries Admin", "Super Admin", "Volumes Admin", "Auditor"), 1)}


class People:
    def __init__(self, api, provider):
        self.api, self.provider = api, provider

    @functools.cache
    def token(self, name):
        return self.provider.token(name)

    def ask(self, name, method, path, body=None, org=None):
        return self.api.request(method, path, body, key=self.token(name), org=org)

    def personal(self, name):
        status, orgs = self.ask(name, "GET", "/organizations")
        assert status == 200, orgs
        return next(o["id"] for o in orgs if o["personal"])

    def new_org(self, owner, name):
        status, org = self.ask(owner, "POST", "/organizations", {"name": name})
        assert status == 201, org
        return org["id"]

    def join(self, owner, org, name, role="member", roles=()):
        """By an invitation that is accepted."""
        status, made = self.ask(owner, "POST", f"/organizations/{org}/invitations", {
            "email": f"{name}@example.com", "role": role, "assignedRoleIds": list(roles)})
        assert status == 201, made
        status, done = self.ask(name, "POST", f"/organizations/invitations/{made['id']}/accept")
        assert (status, done["status"]) == (201, "accepted"), done


@contextlib.contextmanager
def gathered(*settings, names=NAMES):
    users = {n: {"email": f"{n}@example.com", "email_verified": True, "name": n.title()} for n in names}
    with issuer.Issuer(users) as provider, backend.Backend(settings=(*provider.settings(), *settings)) as b:
        yield People(b.start(), provider)
