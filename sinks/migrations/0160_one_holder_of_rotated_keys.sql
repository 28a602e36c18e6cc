-- A key that succeeds another has the same holder: where two must approve, both are one. The id of the first key names the
-- holder. Keys that were rotated before have none, and are holders of their own.
SET LOCAL ROLE weir_owner;

ALTER TABLE api_key ADD COLUMN succeeds text;

RESET ROLE;
