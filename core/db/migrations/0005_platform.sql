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
