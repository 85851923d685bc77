-- Runners on other machines: of a custom region and its organization, or of the shared region (both NULL).
-- key_hash is SHA-256 of the whole key; prefix and suffix: its first and last three characters; tags: a JSON
-- array of texts; figures: a JSON array of what was reported last, in the order of enum dt_remote_figure, null
-- for what is not known; checked_ms: when it reported; is_troubled: one of its services was not healthy then.
CREATE TABLE remote_runner (
    id TEXT PRIMARY KEY,
    region_id TEXT REFERENCES region (id) ON DELETE CASCADE,
    organization_id TEXT REFERENCES organization (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    key_hash BLOB NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    prefix TEXT NOT NULL,
    suffix TEXT NOT NULL,
    tags TEXT NOT NULL,
    api_version TEXT NOT NULL,
    domain TEXT,
    api_url TEXT,
    proxy_url TEXT,
    app_version TEXT,
    gpu_type TEXT,
    figures TEXT NOT NULL,
    checked_ms INTEGER,
    is_troubled INTEGER NOT NULL,
    unschedulable INTEGER NOT NULL,
    draining INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    CHECK ((region_id IS NULL) = (organization_id IS NULL))
) STRICT;
CREATE UNIQUE INDEX remote_runner_name ON remote_runner (coalesce(region_id, ''), name);
CREATE INDEX remote_runner_organization ON remote_runner (organization_id, created_ms);
