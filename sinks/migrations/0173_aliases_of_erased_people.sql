-- What stands for an erased person in reviews and waivers, so that steps which come after the erasure stay those of the same
-- person. Only writers see it.
SET LOCAL ROLE weir_owner;

ALTER TABLE erasure_progress
  ADD COLUMN party text,                 -- the subject without case and without spaces around it
  ADD COLUMN alias text;                 -- the same for every spelling of one party
CREATE INDEX erasure_of_party ON erasure_progress (tenant_id, party) WHERE alias IS NOT NULL;
CREATE INDEX erasure_without_alias ON erasure_progress (tenant_id, subject) WHERE done_at IS NOT NULL AND alias IS NULL;

REVOKE SELECT ON erasure_progress FROM weir_reader, grafana_reader;
GRANT SELECT (tenant_id, subject, waits_for, entries, other_rows, problem, began_at, done_at) ON erasure_progress
  TO weir_reader, grafana_reader;

RESET ROLE;
