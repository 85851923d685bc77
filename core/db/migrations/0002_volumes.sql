-- the files are volumes/<id> in the data directory, made by the launcher
CREATE TABLE volume (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization (id),
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    error_reason TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    last_used_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX volume_name ON volume (organization_id, name) WHERE state <> 'deleted';
CREATE INDEX volume_created ON volume (organization_id, created_ms);

-- what a sandbox has mounted: [{"volumeId": "...", "mountPath": "...", "subpath": "..."}]
ALTER TABLE sandbox ADD COLUMN volumes TEXT NOT NULL DEFAULT '[]';
CREATE INDEX sandbox_volumes ON sandbox (organization_id) WHERE volumes <> '[]';
