-- Users, organizations, members, roles, invitations, API keys.
CREATE TABLE old_key AS SELECT * FROM api_key;
DROP TABLE api_key;
CREATE TABLE old_user AS SELECT * FROM user;
DROP TABLE user;

-- id: the `sub` of an issuer's tokens, or a UUID of our own; local_user: of who uses the unix socket
CREATE TABLE user (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    email_verified INTEGER NOT NULL,
    is_admin INTEGER NOT NULL,
    local_user INTEGER UNIQUE CHECK (local_user = 1),
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;

-- quotas: NULL = what the server's settings say; cpu in cores, memory, disk and snapshot size in GiB
ALTER TABLE organization ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE organization ADD COLUMN is_personal INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organization ADD COLUMN suspended_ms INTEGER;
ALTER TABLE organization ADD COLUMN suspension_reason TEXT;
ALTER TABLE organization ADD COLUMN suspended_until_ms INTEGER;
ALTER TABLE organization ADD COLUMN suspension_grace_hours INTEGER NOT NULL DEFAULT 24;
ALTER TABLE organization ADD COLUMN total_cpu INTEGER;
ALTER TABLE organization ADD COLUMN total_memory INTEGER;
ALTER TABLE organization ADD COLUMN total_disk INTEGER;
ALTER TABLE organization ADD COLUMN max_cpu INTEGER;
ALTER TABLE organization ADD COLUMN max_memory INTEGER;
ALTER TABLE organization ADD COLUMN max_disk INTEGER;
ALTER TABLE organization ADD COLUMN snapshot_quota INTEGER;
ALTER TABLE organization ADD COLUMN max_snapshot_size INTEGER;
ALTER TABLE organization ADD COLUMN volume_quota INTEGER;
ALTER TABLE organization ADD COLUMN default_region TEXT;
ALTER TABLE organization ADD COLUMN limited_egress INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organization ADD COLUMN updated_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX organization_creator ON organization (created_by);

CREATE TABLE member (
    organization_id TEXT NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    is_owner INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (organization_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX member_user ON member (user_id);

-- organization_id NULL: built in, for all organizations; permissions are separated by one space
CREATE TABLE role (
    id TEXT PRIMARY KEY,
    organization_id TEXT REFERENCES organization (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX role_organization ON role (organization_id);

CREATE TABLE member_role (
    organization_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    role_id TEXT NOT NULL REFERENCES role (id) ON DELETE CASCADE,
    PRIMARY KEY (organization_id, user_id, role_id),
    FOREIGN KEY (organization_id, user_id) REFERENCES member (organization_id, user_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX member_role_role ON member_role (role_id);

-- email as it was written; invited_by: an e-mail address or a user's id
CREATE TABLE invitation (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    email TEXT NOT NULL,
    invited_by TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'accepted', 'declined', 'cancelled')),
    is_owner INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX invitation_organization ON invitation (organization_id, status);
CREATE INDEX invitation_email ON invitation (lower(email), status);

CREATE TABLE invitation_role (
    invitation_id TEXT NOT NULL REFERENCES invitation (id) ON DELETE CASCADE,
    role_id TEXT NOT NULL REFERENCES role (id) ON DELETE CASCADE,
    PRIMARY KEY (invitation_id, role_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX invitation_role_role ON invitation_role (role_id);

-- hash is SHA-256 of the whole key; prefix and suffix: its first and last three characters
CREATE TABLE api_key (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    organization_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    suffix TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    last_used_ms INTEGER,
    UNIQUE (organization_id, user_id, name),
    FOREIGN KEY (organization_id, user_id) REFERENCES member (organization_id, user_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

INSERT INTO user SELECT id, name, '', 0, 1, NULL, created_ms, created_ms FROM old_user;
UPDATE user SET local_user = 1 WHERE id = (SELECT id FROM user ORDER BY created_ms, id LIMIT 1);
UPDATE organization SET is_personal = 1, updated_ms = created_ms,
    created_by = coalesce((SELECT min(u.id) FROM old_user u WHERE u.organization_id = organization.id), '');
INSERT INTO member SELECT organization_id, id, 1, created_ms, created_ms FROM old_user;
INSERT INTO api_key SELECT hash, organization_id, user_id, name, substr(hint, 1, 3), substr(hint, -3), scopes,
    created_ms, expires_ms, NULL FROM old_key;
DROP TABLE old_key;
DROP TABLE old_user;

INSERT INTO role VALUES
    ('00000000-0000-0000-0000-000000000001', NULL, 'Developer',
     'Grants the ability to create sandboxes and keys in the organization',
     'write:sandboxes', 0, 0),
    ('00000000-0000-0000-0000-000000000002', NULL, 'Sandboxes Admin',
     'Grants admin access to sandboxes in the organization',
     'write:sandboxes delete:sandboxes', 0, 0),
    ('00000000-0000-0000-0000-000000000003', NULL, 'Snapshots Admin',
     'Grants admin access to snapshots in the organization',
     'write:snapshots delete:snapshots', 0, 0),
    ('00000000-0000-0000-0000-000000000004', NULL, 'Registries Admin',
     'Grants admin access to registries in the organization',
     'write:registries delete:registries', 0, 0),
    ('00000000-0000-0000-0000-000000000005', NULL, 'Super Admin',
     'Grants full access to all resources in the organization',
     'write:registries delete:registries write:snapshots delete:snapshots write:sandboxes delete:sandboxes', 0, 0),
    ('00000000-0000-0000-0000-000000000006', NULL, 'Volumes Admin',
     'Grants admin access to volumes in the organization',
     'read:volumes write:volumes delete:volumes', 0, 0),
    ('00000000-0000-0000-0000-000000000007', NULL, 'Auditor',
     'Grants access to audit logs in the organization',
     'read:audit_logs', 0, 0);
UPDATE role SET created_ms = CAST(strftime('%s', 'now') AS INTEGER) * 1000;
UPDATE role SET updated_ms = created_ms;
