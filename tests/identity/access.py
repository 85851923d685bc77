"""Who may call what, written down from the published contract; nothing here is read from the schemas.

Each line: method, path, need. A need is one level and any number of words:
  open      nobody is asked           user   anybody with credentials        admin  of the whole system
  member    of the organization       owner  of the organization             none   no user at all
  login     an API key is not enough  active refused while the organization is suspended
  write:sandboxes ...                 a permission that must be held
  +proxy ...                          a service that may call it besides; +admin: administrators
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
GET    /api-json                                                open
GET    /metrics                                                admin +health-check
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
POST   /sandbox/{idOrName}/autopause/{interval}                 member write:sandboxes
POST   /sandbox/{idOrName}/ttl/{ttlMinutes}                     member write:sandboxes
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
GET    /sandbox/{idOrName}/telemetry/logs                       member
GET    /sandbox/{idOrName}/telemetry/traces                     member
GET    /sandbox/{idOrName}/telemetry/traces/{traceId}           member
GET    /sandbox/{idOrName}/telemetry/metrics                    member
GET    /usage                                                   member
POST   /sandbox/{idOrName}/last-activity                        member +proxy
GET    /sandbox/{idOrName}/ports/{port}/preview-url             member
GET    /sandbox/{idOrName}/ports/{port}/signed-preview-url      member
POST   /sandbox/{idOrName}/ports/{port}/signed-preview-url/{token}/expire  member write:sandboxes
GET    /sandbox/{idOrName}/toolbox-proxy-url                    member
ANY    /toolbox/{idOrName}/toolbox/{path}                       member write:sandboxes

GET    /sandbox/{idOrName}/signing-key                          member write:sandboxes
POST   /sandbox/{idOrName}/signing-key/rotate                   member write:sandboxes
GET    /preview/{sandboxId}/signing-key                         none +proxy
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

GET    /admin/runners                                           admin
POST   /admin/runners                                           admin
GET    /admin/snapshots/can-cleanup-image                       admin
GET    /admin/webhooks/status                                   admin
POST   /admin/webhooks/organizations/{organizationId}/initialize admin
POST   /admin/webhooks/organizations/{organizationId}/send      admin
GET    /admin/webhooks/organizations/{organizationId}/messages/{messageId}/attempts admin
GET    /admin/runners/{id}                                      admin
DELETE /admin/runners/{id}                                      admin
POST   /admin/docker-registry/{id}/set-default                  admin
POST   /admin/sandbox/{sandboxId}/recover                       admin
PATCH  /admin/snapshots/{id}/general                            admin
PATCH  /admin/runners/{id}/scheduling                           admin
POST   /admin/organizations/{organizationId}/quota/{regionId}   admin
DELETE /admin/organizations/{organizationId}/quota/{regionId}/{sandboxClass} admin

POST   /docker-registry                                         member write:registries active
GET    /docker-registry                                         member
GET    /docker-registry/registry-push-access                    member write:registries
GET    /docker-registry/{id}                                    member
PATCH  /docker-registry/{id}                                    member write:registries active
DELETE /docker-registry/{id}                                    member delete:registries
POST   /docker-registry/{id}/set-default                        admin

GET    /jobs                                                    none +runner
GET    /jobs/poll                                               none +runner
GET    /jobs/{jobId}                                            none +runner
POST   /jobs/{jobId}/status                                     none +runner

GET    /object-storage/push-access                              member

GET    /organizations/otel-config/by-sandbox-auth-token/{authToken} none +otel-collector

GET    /regions                                                 member
POST   /regions                                                 member write:regions active
GET    /regions/{id}                                            member
PATCH  /regions/{id}                                            member write:regions
DELETE /regions/{id}                                            member delete:regions
POST   /regions/{id}/regenerate-proxy-api-key                   member write:regions
POST   /regions/{id}/regenerate-ssh-gateway-api-key             member write:regions
POST   /regions/{id}/regenerate-snapshot-manager-credentials    member write:regions

GET    /runners                                                 member read:runners +admin
POST   /runners                                                 member write:runners active +admin
POST   /runners/healthcheck                                     none +runner
GET    /runners/me                                              none +runner
GET    /runners/by-snapshot-ref                                 admin +proxy +ssh-gateway +runner
GET    /runners/by-sandbox/{sandboxId}                          admin +proxy +ssh-gateway +runner
GET    /runners/{id}                                            member read:runners +admin
DELETE /runners/{id}                                            member delete:runners +admin
GET    /runners/{id}/full                                       admin +proxy +ssh-gateway +runner
PATCH  /runners/{id}/scheduling                                 member write:runners +admin
PATCH  /runners/{id}/draining                                   member write:runners +admin

GET    /sandbox/{sandboxId}/organization                        member +proxy +ssh-gateway
GET    /sandbox/{sandboxId}/region-quota                        member +proxy +ssh-gateway

GET    /shared-regions                                          open

POST   /snapshots                                               member write:snapshots
GET    /snapshots/can-cleanup-image                             admin
DELETE /snapshots/{id}                                          member delete:snapshots
GET    /snapshots/{id}/build-logs                               member
GET    /snapshots/{id}/build-logs-url                           member
POST   /snapshots/{id}/activate                                 member write:snapshots
POST   /snapshots/{id}/deactivate                               member write:snapshots
PATCH  /snapshots/{id}/general                                  admin

GET    /webhooks/status                                         admin
POST   /webhooks/organizations/{organizationId}/app-portal-access member
GET    /webhooks/organizations/{organizationId}/initialization-status member
POST   /webhooks/organizations/{organizationId}/initialize      member
POST   /webhooks/organizations/{organizationId}/refresh-endpoints member
POST   /webhooks/organizations/{organizationId}/send            admin
GET    /webhooks/organizations/{organizationId}/messages/{messageId}/attempts admin

GET    /workspace                                               member
POST   /workspace                                               member write:sandboxes
GET    /workspace/{workspaceId}                                 member
DELETE /workspace/{workspaceId}                                 member delete:sandboxes
POST   /workspace/{workspaceId}/start                           member write:sandboxes
POST   /workspace/{workspaceId}/stop                            member write:sandboxes
POST   /workspace/{workspaceId}/backup                          member write:sandboxes
POST   /workspace/{workspaceId}/archive                         member write:sandboxes
PUT    /workspace/{workspaceId}/labels                          member write:sandboxes
GET    /workspace/{workspaceId}/build-logs                      member
POST   /workspace/{workspaceId}/public/{isPublic}               member write:sandboxes
POST   /workspace/{workspaceId}/autostop/{interval}             member write:sandboxes
POST   /workspace/{workspaceId}/autoarchive/{interval}          member write:sandboxes
GET    /workspace/{workspaceId}/ports/{port}/preview-url        member
"""

ROUTES = [(method, path, tuple(need)) for method, path, *need in (line.split() for line in TABLE.splitlines() if line)]
# These work without a body that could be wrong, and change what the others look at: only refusals are tried.
# One answer does not end (it is told of changes): a refusal does.
ENDLESS = ("GET", "/sandbox-changes")
ONCE = {ENDLESS, ("POST", "/organizations/{organizationId}/leave"), ("DELETE", "/organizations/{organizationId}"),
        ("POST", "/organizations/{organizationId}/suspend"), ("POST", "/organizations/{organizationId}/unsuspend")}
