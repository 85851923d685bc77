"""Who may call what, written down from the published contract; nothing here is read from the schemas.

Each line: method, path, need. A need is one level and any number of words:
  open      nobody is asked           user   anybody with credentials        admin  of the whole system
  member    of the organization       owner  of the organization             none   no user at all
  login     an API key is not enough  active refused while the organization is suspended
  write:sandboxes ...                 a permission that must be held
  +proxy ...                          a service that may call it besides
"""

PERMISSIONS = (
    "write:registries", "delete:registries", "write:snapshots", "delete:snapshots", "write:sandboxes",
    "delete:sandboxes", "read:volumes", "write:volumes", "delete:volumes", "read:audit_logs", "write:regions",
    "delete:regions", "read:runners", "write:runners", "delete:runners")

ROLES = {
    "Developer": {"write:sandboxes"},
    "Sandboxes Admin": {"write:sandboxes", "delete:sandboxes"},
    "Snapshots Admin": {"write:snapshots", "delete:snapshots"},
    "Registries Admin": {"write:registries", "delete:registries"},
    "Super Admin": {"write:registries", "delete:registries", "write:snapshots", "delete:snapshots", "write:sandboxes",
                    "delete:sandboxes"},
    "Volumes Admin": {"read:volumes", "write:volumes", "delete:volumes"},
    "Auditor": {"read:audit_logs"},
}

TABLE = """
GET    /health                                                  open
GET    /health/ready                                            none +health-check
GET    /config                                                  open

GET    /sandbox                                                 member
POST   /sandbox                                                 member write:sandboxes active
GET    /sandbox/paginated                                       member
GET    /sandbox/regions                                         member
GET    /sandbox/for-runner                                      none +runner
GET    /sandbox/ssh-access/validate                             member
GET    /sandbox-changes                                         member
GET    /sandbox/{idOrName}                                      member +proxy +ssh-gateway
DELETE /sandbox/{idOrName}                                      member delete:sandboxes
POST   /sandbox/{idOrName}/start                                member write:sandboxes active
POST   /sandbox/{idOrName}/stop                                 member write:sandboxes
PUT    /sandbox/{idOrName}/labels                               member write:sandboxes
POST   /sandbox/{idOrName}/public/{isPublic}                    member write:sandboxes
POST   /sandbox/{idOrName}/autostop/{interval}                  member write:sandboxes
POST   /sandbox/{idOrName}/autoarchive/{interval}               member write:sandboxes
POST   /sandbox/{idOrName}/autodelete/{interval}                member write:sandboxes
POST   /sandbox/{idOrName}/archive                              member write:sandboxes
POST   /sandbox/{idOrName}/backup                               member write:sandboxes
POST   /sandbox/{idOrName}/recover                              member write:sandboxes active
POST   /sandbox/{idOrName}/pause                                member write:sandboxes
POST   /sandbox/{idOrName}/resize                               member write:sandboxes active
POST   /sandbox/{idOrName}/fork                                 member write:sandboxes active
GET    /sandbox/{idOrName}/forks                                member
GET    /sandbox/{idOrName}/parent                               member
GET    /sandbox/{idOrName}/ancestors                            member
POST   /sandbox/{idOrName}/network-settings                     member write:sandboxes
GET    /sandbox/{idOrName}/usage                                member
PUT    /sandbox/{idOrName}/state                                none +runner
POST   /sandbox/{idOrName}/snapshot                             member write:sandboxes
GET    /sandbox/{idOrName}/build-logs                           member
GET    /sandbox/{idOrName}/build-logs-url                       member
POST   /sandbox/{idOrName}/ssh-access                           member write:sandboxes
DELETE /sandbox/{idOrName}/ssh-access                           member write:sandboxes
GET    /sandbox/{idOrName}/telemetry/{kind}                     member
GET    /sandbox/{idOrName}/telemetry/traces/{traceId}           member
GET    /usage                                                   member
POST   /sandbox/{idOrName}/last-activity                        member +proxy
GET    /sandbox/{idOrName}/ports/{port}/preview-url             member
GET    /sandbox/{idOrName}/ports/{port}/signed-preview-url      member
POST   /sandbox/{idOrName}/ports/{port}/signed-preview-url/{token}/expire  member write:sandboxes
GET    /sandbox/{idOrName}/toolbox-proxy-url                    member
ANY    /toolbox/{idOrName}/toolbox/{path}                       member write:sandboxes

GET    /preview/{sandboxId}/public                              none +proxy
GET    /preview/{sandboxId}/validate/{authToken}                none +proxy
GET    /preview/{sandboxId}/access                              user
GET    /preview/{signedPreviewToken}/{port}/sandbox-id          none +proxy

GET    /snapshots                                               member
GET    /snapshots/{idOrName}                                    member

GET    /volumes                                                 member read:volumes
POST   /volumes                                                 member write:volumes active
GET    /volumes/{volumeId}                                      member read:volumes
GET    /volumes/by-name/{name}                                  member read:volumes
DELETE /volumes/{volumeId}                                      member delete:volumes
GET    /audit                                                   admin
GET    /audit/organizations/{organizationId}                    member read:audit_logs
GET    /admin/audit                                             admin

POST   /api-keys                                                member
GET    /api-keys                                                member
GET    /api-keys/current                                        member
GET    /api-keys/{name}                                         member
DELETE /api-keys/{name}                                         member
DELETE /api-keys/{userId}/{name}                                member

GET    /organizations/invitations                               user login
GET    /organizations/invitations/count                         user login
POST   /organizations/invitations/{invitationId}/accept         user login
POST   /organizations/invitations/{invitationId}/decline        user login
POST   /organizations                                           user login
GET    /organizations                                           user login
GET    /organizations/by-sandbox-id/{sandboxId}                 admin +proxy
GET    /organizations/{organizationId}                          member login
DELETE /organizations/{organizationId}                          owner login
GET    /organizations/{organizationId}/usage                    member login
PATCH  /organizations/{organizationId}/quota                    admin
PATCH  /organizations/{organizationId}/quota/{regionId}         admin
POST   /organizations/{organizationId}/leave                    member login
POST   /organizations/{organizationId}/suspend                  admin
POST   /organizations/{organizationId}/unsuspend                admin
POST   /organizations/{organizationId}/sandbox-default-limited-network-egress  admin
PATCH  /organizations/{organizationId}/default-region           owner login
GET    /organizations/{organizationId}/otel-config              owner login
PUT    /organizations/{organizationId}/otel-config              owner login
DELETE /organizations/{organizationId}/otel-config              owner login
PUT    /organizations/{organizationId}/experimental-config      owner login
GET    /organizations/{organizationId}/roles                    member login
POST   /organizations/{organizationId}/roles                    owner login
PUT    /organizations/{organizationId}/roles/{roleId}           owner login
DELETE /organizations/{organizationId}/roles/{roleId}           owner login
GET    /organizations/{organizationId}/users                    member login
POST   /organizations/{organizationId}/users/{userId}/access    owner login
DELETE /organizations/{organizationId}/users/{userId}           owner login
GET    /organizations/{organizationId}/invitations              member login
POST   /organizations/{organizationId}/invitations              owner login
PUT    /organizations/{organizationId}/invitations/{invitationId}         owner login
POST   /organizations/{organizationId}/invitations/{invitationId}/cancel  owner login
GET    /admin/organizations/{organizationId}/quota/{regionId}/{sandboxClass}  admin
PATCH  /admin/organizations/{organizationId}/quota/{regionId}   admin

GET    /users/me                                                user
GET    /users/account-providers                                 user
POST   /users/linked-accounts                                   user
DELETE /users/linked-accounts/{provider}/{providerUserId}       user
POST   /users/mfa/sms/enroll                                    user
POST   /users                                                   admin
GET    /users                                                   admin
GET    /users/{id}                                              admin
POST   /users/{id}/regenerate-key-pair                          admin
POST   /admin/users                                             admin
GET    /admin/users                                             admin
GET    /admin/users/{id}                                        admin
POST   /admin/users/{id}/regenerate-key-pair                    admin
"""

ROUTES = [(method, path, tuple(need)) for method, path, *need in (line.split() for line in TABLE.splitlines() if line)]
# These work without a body that could be wrong, and change what the others look at: only refusals are tried.
# One answer does not end (it is told of changes): a refusal does.
ENDLESS = ("GET", "/sandbox-changes")
ONCE = {ENDLESS, ("POST", "/organizations/{organizationId}/leave"), ("DELETE", "/organizations/{organizationId}"),
        ("POST", "/organizations/{organizationId}/suspend"), ("POST", "/organizations/{organizationId}/unsuspend")}
