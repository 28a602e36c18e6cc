-- What monitoring measured of resources that cost something, and decisions about recommendations.
SET LOCAL ROLE weir_owner;

-- One row per event, never changed.
CREATE TABLE cost_utilisation (
  measured_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  resource text NOT NULL,
  resource_ref text NOT NULL GENERATED ALWAYS AS (weir_resource_ref(resource)) STORED,
  metric text NOT NULL,                  -- cpu_percent, memory_percent, network, .., or the source's own name
  value numeric NOT NULL,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
);
-- The newest measurements of a resource, as evidence.
CREATE INDEX cost_utilisation_newest ON cost_utilisation (tenant_id, resource_ref, metric, measured_at);
SELECT weir_tenant_table('cost_utilisation');

-- Derived: sums of the rows above, which order and repeats do not change.
CREATE TABLE cost_utilisation_hour (
  hour timestamptz NOT NULL,
  samples bigint NOT NULL,
  tenant_id text NOT NULL,
  resource_ref text NOT NULL,
  metric text NOT NULL,
  total numeric NOT NULL, least numeric NOT NULL, largest numeric NOT NULL,
  PRIMARY KEY (tenant_id, resource_ref, metric, hour)
) WITH (fillfactor = 80);
SELECT weir_tenant_table('cost_utilisation_hour', 'SELECT, INSERT, UPDATE');

-- One row per event, never changed; the newest that can be read is in force.
CREATE TABLE cost_recommendation_fact (
  decided_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  recommendation text NOT NULL,
  decision text NOT NULL,                -- accepted, dismissed, reopened, unreadable
  fault text,                            -- why it is unreadable
  actor text NOT NULL,
  reason text,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX cost_recommendation_fact_newest
    ON cost_recommendation_fact (tenant_id, recommendation, decided_at, event_id);
SELECT weir_tenant_table('cost_recommendation_fact');
-- What an erasure renames.
GRANT UPDATE (actor) ON cost_recommendation_fact TO weir_writer;

-- What writers send; see 0011.
CREATE TYPE cost_utilisation_row AS (
  tenant_id text, event_id uuid, measured_at timestamptz, resource text, metric text, value numeric, content_sha256 bytea
);
CREATE TYPE cost_recommendation_fact_row AS (
  tenant_id text, event_id uuid, decided_at timestamptz, recommendation text, decision text, fault text, actor text,
  reason text, content_sha256 bytea
);

RESET ROLE;
