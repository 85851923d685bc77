-- how often the key of a sandbox's file URLs was changed; the key itself is derived and stored nowhere
ALTER TABLE sandbox ADD COLUMN signing_epoch INTEGER NOT NULL DEFAULT 0;
