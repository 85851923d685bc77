-- the oldest entries of all sandboxes are found at once
CREATE INDEX sandbox_log_age ON sandbox_log (at_ms);
