-- what happened to each sandbox, the last entries; severity: OpenTelemetry's numbers
CREATE TABLE sandbox_log (
    sandbox_id TEXT NOT NULL REFERENCES sandbox (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    operation TEXT NOT NULL,
    state TEXT,
    by_server INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (sandbox_id, seq)
) STRICT, WITHOUT ROWID;
