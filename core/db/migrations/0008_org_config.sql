-- what organizations say about telemetry and experiments: JSON, sealed (runnerd/vault.h), since it may hold keys
ALTER TABLE organization ADD COLUMN otel_config BLOB;
ALTER TABLE organization ADD COLUMN experimental_config BLOB;
