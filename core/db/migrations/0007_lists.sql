-- Pages of many sandboxes: what a list without filters looks at is in the index, in the list's order.
DROP INDEX sandbox_created;
CREATE INDEX sandbox_created ON sandbox (organization_id, created_ms, id, state, desired);

-- The labels of sandboxes once more, to be found by. Triggers keep them.
CREATE TABLE sandbox_label (
    organization_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    sandbox_id TEXT NOT NULL,
    PRIMARY KEY (organization_id, key, value, created_ms, sandbox_id)
) STRICT, WITHOUT ROWID;
INSERT INTO sandbox_label
    SELECT s.organization_id, l.key, l.value, s.created_ms, s.id
    FROM sandbox AS s, json_each(s.labels) AS l WHERE l.type = 'text';
CREATE TRIGGER sandbox_label_insert AFTER INSERT ON sandbox BEGIN
    INSERT INTO sandbox_label
        SELECT new.organization_id, key, value, new.created_ms, new.id
        FROM json_each(new.labels) WHERE type = 'text';
END;
CREATE TRIGGER sandbox_label_update AFTER UPDATE OF labels ON sandbox WHEN new.labels <> old.labels BEGIN
    DELETE FROM sandbox_label WHERE organization_id = old.organization_id
        AND (key, value) IN (SELECT key, value FROM json_each(old.labels))
        AND created_ms = old.created_ms AND sandbox_id = old.id;
    INSERT INTO sandbox_label
        SELECT new.organization_id, key, value, new.created_ms, new.id
        FROM json_each(new.labels) WHERE type = 'text';
END;
CREATE TRIGGER sandbox_label_delete AFTER DELETE ON sandbox BEGIN
    DELETE FROM sandbox_label WHERE organization_id = old.organization_id
        AND (key, value) IN (SELECT key, value FROM json_each(old.labels))
        AND created_ms = old.created_ms AND sandbox_id = old.id;
END;
