CREATE TABLE organization (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE user (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- hash is SHA-256 of the whole key; scopes are separated by one space
CREATE TABLE api_key (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    organization_id TEXT NOT NULL REFERENCES organization (id),
    user_id TEXT NOT NULL REFERENCES user (id),
    name TEXT NOT NULL,
    hint TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    UNIQUE (organization_id, user_id, name)
) STRICT, WITHOUT ROWID;

-- layers: chain ids in hexadecimal, lowest first, separated by one space
CREATE TABLE snapshot (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    image_name TEXT,
    state TEXT NOT NULL,
    layers TEXT NOT NULL,
    config TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    cpu_millis INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    disk_mib INTEGER NOT NULL,
    error_reason TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    last_used_ms INTEGER
) STRICT;

-- boot: what the toolbox is told at each start (JSON); layers as in snapshot, at the time of creation
CREATE TABLE sandbox (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    name TEXT NOT NULL,
    snapshot_name TEXT,
    state TEXT NOT NULL,
    desired TEXT NOT NULL,
    error_reason TEXT,
    user TEXT NOT NULL,
    env TEXT NOT NULL,
    labels TEXT NOT NULL,
    is_public INTEGER NOT NULL,
    net_block_all INTEGER NOT NULL,
    net_allow_list TEXT,
    target TEXT NOT NULL,
    class TEXT NOT NULL,
    cpu_millis INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    disk_mib INTEGER NOT NULL,
    auto_stop INTEGER NOT NULL,
    auto_archive INTEGER NOT NULL,
    auto_delete INTEGER NOT NULL,
    starts INTEGER NOT NULL,
    layers TEXT NOT NULL,
    boot TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    activity_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sandbox_name ON sandbox (organization_id, name);
CREATE INDEX sandbox_created ON sandbox (organization_id, created_ms, id);

-- hash is SHA-256 of the token
CREATE TABLE signed_url (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    sandbox_id TEXT NOT NULL REFERENCES sandbox (id) ON DELETE CASCADE,
    port INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX signed_url_sandbox ON signed_url (sandbox_id);
