-- Searches of the audit log that are saved by name. A search is a decision about the log, like a hold: the newest saving and the
-- newest removal of each name, of which the newer counts.
SET LOCAL ROLE weir_owner;

CREATE TABLE saved_search (
  tenant_id text NOT NULL,
  name text NOT NULL,
  filter jsonb,                          -- by parameter of the query API; NULL where only a removal came
  saved_at timestamptz, saved_event uuid, saved_by text, saved_for text,
  removed_at timestamptz, removed_event uuid, removed_by text,
  active boolean NOT NULL GENERATED ALWAYS AS (
    saved_at IS NOT NULL
    AND (removed_at IS NULL OR (saved_at, saved_event) > (removed_at, removed_event))) STORED,
  PRIMARY KEY (tenant_id, name)
);
SELECT weir_tenant_table('saved_search', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TYPE saved_search_row AS (
  tenant_id text, name text, filter text, decided_at timestamptz, event_id uuid, actor text, reason text
);
RESET ROLE;
