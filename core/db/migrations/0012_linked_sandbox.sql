-- the sandbox that this one is linked to, by the id that it had
ALTER TABLE sandbox ADD COLUMN linked_to TEXT;
