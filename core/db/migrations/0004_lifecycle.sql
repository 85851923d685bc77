-- backup_ms: when the last complete one was made; forked_from: whose files it began with; is_lost: its
-- files are neither on the disk nor in an archive
ALTER TABLE sandbox ADD COLUMN backup_state TEXT NOT NULL DEFAULT 'None';
ALTER TABLE sandbox ADD COLUMN backup_ms INTEGER;
ALTER TABLE sandbox ADD COLUMN forked_from TEXT;
ALTER TABLE sandbox ADD COLUMN is_lost INTEGER NOT NULL DEFAULT 0;
CREATE INDEX sandbox_forks ON sandbox (forked_from) WHERE forked_from IS NOT NULL;

-- What sandboxes had and when, the base of bills: it outlives sandboxes and organizations. Amounts do
-- not change within a period; to_ms NULL: it lasts.
CREATE TABLE usage_period (
    id INTEGER PRIMARY KEY,
    sandbox_id TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    region TEXT NOT NULL,
    cpu_millis INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    disk_mib INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER CHECK (to_ms >= from_ms)
) STRICT;
CREATE UNIQUE INDEX usage_open ON usage_period (sandbox_id) WHERE to_ms IS NULL;
CREATE INDEX usage_time ON usage_period (organization_id, from_ms);
CREATE INDEX usage_sandbox ON usage_period (sandbox_id, from_ms);

INSERT INTO usage_period (sandbox_id, organization_id, region, cpu_millis, memory_mib, disk_mib, from_ms)
    SELECT id, organization_id, target,
        CASE WHEN state IN ('creating', 'started', 'starting', 'stopping') THEN cpu_millis ELSE 0 END,
        CASE WHEN state IN ('creating', 'started', 'starting', 'stopping') THEN memory_mib ELSE 0 END,
        disk_mib, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
    FROM sandbox WHERE state IN ('creating', 'started', 'starting', 'stopping', 'stopped');
