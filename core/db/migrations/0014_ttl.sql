-- idle minutes until it is paused, 0 = never; when it is destroyed whatever it does, 0 = never
ALTER TABLE sandbox ADD COLUMN auto_pause INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sandbox ADD COLUMN destroy_ms INTEGER NOT NULL DEFAULT 0;
