-- after how many minutes an unused snapshot of the organization is deactivated; NULL = two weeks
ALTER TABLE organization ADD COLUMN snapshot_rest_min INTEGER;
