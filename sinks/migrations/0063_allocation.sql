-- Allocation: by which rules costs go to teams.
SET LOCAL ROLE weir_owner;

-- One row per event, never changed; the newest that can be read is in force.
CREATE TABLE cost_allocation_fact (
  decided_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  decision text NOT NULL,                -- set, removed, unreadable
  fault text,                            -- why it is unreadable
  rules text,                            -- a JSON list
  actor text NOT NULL,
  reason text,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX cost_allocation_fact_newest ON cost_allocation_fact (tenant_id, decided_at, event_id);
SELECT weir_tenant_table('cost_allocation_fact');

-- What writers send; see 0011.
CREATE TYPE cost_allocation_fact_row AS (
  tenant_id text, event_id uuid, decided_at timestamptz, decision text, fault text, rules text, actor text, reason text,
  content_sha256 bytea
);

RESET ROLE;
