-- The audit log, a chain (core/model/audit.h): a record before each action and one after it, which
-- names the first in begin_seq. Records are added at the end and, when they are old, removed at the
-- beginning; they never change.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    begin_seq INTEGER,
    at_ms INTEGER NOT NULL,
    status INTEGER,
    id TEXT,
    actor_id TEXT,
    actor_email TEXT,
    key_prefix TEXT,
    key_suffix TEXT,
    organization_id TEXT,
    action TEXT,
    target_type TEXT,
    target_id TEXT,
    address TEXT,
    user_agent TEXT,
    source TEXT,
    metadata TEXT,
    error TEXT,
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE UNIQUE INDEX audit_end ON audit (begin_seq) WHERE begin_seq IS NOT NULL;
CREATE INDEX audit_time ON audit (at_ms, seq) WHERE begin_seq IS NULL;
CREATE INDEX audit_organization ON audit (organization_id, at_ms, seq) WHERE begin_seq IS NULL;

-- what stands before the first record and what is the last one, under the key of state/audit.key
CREATE TABLE audit_seal (
    name TEXT PRIMARY KEY CHECK (name IN ('first', 'last')),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    mac BLOB NOT NULL CHECK (length(mac) = 32)
) STRICT, WITHOUT ROWID;

-- actions that are under way: no part of the chain
CREATE TABLE audit_open (seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT;

-- docker registries; password: sealed (runnerd/vault.h), the id is its context
CREATE TABLE registry (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    username TEXT NOT NULL,
    password BLOB NOT NULL,
    project TEXT NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('organization', 'internal', 'transient', 'backup')),
    is_default INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX registry_organization ON registry (organization_id, created_ms);

-- regions that organizations name; keys as SHA-256 of the whole key, NULL while there is no such URL
CREATE TABLE region (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    proxy_url TEXT,
    ssh_gateway_url TEXT,
    proxy_key BLOB CHECK (length(proxy_key) = 32),
    ssh_gateway_key BLOB CHECK (length(ssh_gateway_key) = 32),
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    UNIQUE (organization_id, name)
) STRICT;

-- this machine, as the API shows it: one row
CREATE TABLE runner (
    id TEXT PRIMARY KEY,
    one INTEGER NOT NULL UNIQUE CHECK (one = 1),
    unschedulable INTEGER NOT NULL,
    draining INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;

-- limits of requests: NULL = what the server's settings say; _s: for how many seconds
ALTER TABLE organization ADD COLUMN rate_authenticated INTEGER;
ALTER TABLE organization ADD COLUMN rate_authenticated_s INTEGER;
ALTER TABLE organization ADD COLUMN rate_create INTEGER;
ALTER TABLE organization ADD COLUMN rate_create_s INTEGER;
ALTER TABLE organization ADD COLUMN rate_lifecycle INTEGER;
ALTER TABLE organization ADD COLUMN rate_lifecycle_s INTEGER;
