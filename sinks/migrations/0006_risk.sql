-- Risk: what fired on whom, what people decided, and what follows from both.
--
-- risk_signal, risk_weight, risk_triage and risk_unusable hold facts: written once, never changed. risk_exposure,
-- entity_risk and incident follow from the set of them, whatever the order in which they came, and are written in the
-- transaction of the facts. Hazard is counted in micronats; hours are counted from 1970 on.
SET LOCAL ROLE weir_owner;

-- A rule fired on an event and touched an entity.
CREATE TABLE risk_signal (
  occurred_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  hazard_micronats bigint NOT NULL CHECK (hazard_micronats >= 0),
  score smallint NOT NULL CHECK (score BETWEEN 1 AND 99),
  tenant_id text NOT NULL,
  entity_kind text NOT NULL,
  entity text NOT NULL,
  rule_id text NOT NULL,
  rule_version text NOT NULL,
  rule_title text NOT NULL,
  rule_author text,
  rule_file text NOT NULL,
  level text NOT NULL,
  tactics text[] NOT NULL,
  techniques text[] NOT NULL,
  dedupe_key text NOT NULL,
  actor text NOT NULL,
  action text NOT NULL,
  source text NOT NULL,
  native_format text NOT NULL,
  matched jsonb NOT NULL,                -- field -> value
  content_sha256 bytea NOT NULL,         -- the event's
  PRIMARY KEY (tenant_id, entity_kind, entity, event_id, rule_id)
);
CREATE INDEX risk_signal_newest ON risk_signal (tenant_id, entity_kind, entity, occurred_at);
CREATE INDEX risk_signal_event ON risk_signal (tenant_id, event_id);

-- Somebody decided how much an entity's hazard weighs; the latest decision of each source counts.
CREATE TABLE risk_weight (
  decided_at timestamptz NOT NULL,
  expires_at timestamptz,
  event_id uuid NOT NULL,
  factor_thousandths integer NOT NULL CHECK (factor_thousandths BETWEEN 0 AND 10000),
  tenant_id text NOT NULL,
  entity_kind text NOT NULL,
  entity text NOT NULL,
  weight_source text NOT NULL,           -- criticality, or watchlist:<name>
  decision text NOT NULL,
  reason text,
  actor text NOT NULL,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, entity_kind, entity, event_id, weight_source)
);

-- Somebody decided about an incident; the latest decision counts.
CREATE TABLE risk_triage (
  decided_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  incident_id uuid NOT NULL,
  tenant_id text NOT NULL,
  entity_kind text NOT NULL,
  entity text NOT NULL,
  decision text NOT NULL CHECK (decision IN ('open', 'acknowledged', 'closed', 'false_positive')),
  rules text[] NOT NULL,                 -- whose hazard a false positive removes
  reason text,
  actor text NOT NULL,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, entity_kind, entity, event_id)
);

-- Events that should have counted and cannot: records that rules could not read, decisions that say nothing.
CREATE TABLE risk_unusable (
  occurred_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  source text NOT NULL,
  format text NOT NULL,
  reason text NOT NULL,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
);

-- What an entity was exposed to by one rule within one hour: signals of one dedupe key count once, at their highest.
CREATE TABLE risk_exposure (
  hour bigint NOT NULL,
  micronats bigint NOT NULL,
  signals bigint NOT NULL,
  first_at timestamptz NOT NULL,
  last_at timestamptz NOT NULL,
  last_event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  entity_kind text NOT NULL,
  entity text NOT NULL,
  rule_id text NOT NULL,
  dedupe_key text NOT NULL,
  rule_title text NOT NULL,              -- as of the last event
  level text NOT NULL,                   -- as of the last event
  tactics text[] NOT NULL,
  techniques text[] NOT NULL,
  PRIMARY KEY (tenant_id, entity_kind, entity, rule_id, dedupe_key, hour)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- One row per entity. All hazards halve together, so that the order of entities by sort_key never changes by itself:
-- hazard at hour t is 2^(sort_key - t/168), and no row is rewritten as time passes.
CREATE TABLE entity_risk (
  sort_key double precision NOT NULL DEFAULT '-Infinity', -- log2 of the weighted hazard in nats at hour 0
  newest_hour bigint NOT NULL DEFAULT 0,
  hazard_micronats bigint NOT NULL DEFAULT 0,             -- weighted, at newest_hour
  signals bigint NOT NULL DEFAULT 0,
  rules integer NOT NULL DEFAULT 0,
  factor_thousandths integer NOT NULL DEFAULT 1000,
  factor_until timestamptz,              -- when a weight ends by itself, if one does
  first_at timestamptz,
  last_at timestamptz,
  tenant_id text NOT NULL,
  entity_kind text NOT NULL,
  entity text NOT NULL,
  top_rules jsonb NOT NULL DEFAULT '[]', -- [{"id", "title", "level", "share"}, ..], largest share first
  PRIMARY KEY (tenant_id, entity_kind, entity)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- The leaderboard, of all kinds and of one. Ties are broken by bytes, whatever the database's language.
CREATE INDEX entity_risk_highest
  ON entity_risk (tenant_id, sort_key DESC, entity_kind COLLATE "C", entity COLLATE "C");
CREATE INDEX entity_risk_highest_of_kind ON entity_risk (tenant_id, entity_kind, sort_key DESC, entity COLLATE "C");
-- Of whom something has become known since an instant, or is dated after it.
CREATE INDEX entity_risk_newest ON entity_risk (tenant_id, newest_hour);
CREATE INDEX risk_weight_newest ON risk_weight (tenant_id, decided_at);
CREATE INDEX risk_triage_newest ON risk_triage (tenant_id, decided_at);
CREATE INDEX entity_risk_expiring ON entity_risk (tenant_id, factor_until) WHERE factor_until IS NOT NULL;

-- Hours in which an entity was in more danger than one analyst should sleep through, and what became of it.
CREATE TABLE incident (
  id uuid NOT NULL,
  opened_hour bigint NOT NULL,
  last_hour bigint NOT NULL,
  since_hour bigint NOT NULL,            -- the first hour of what led to it
  peak_micronats bigint NOT NULL,        -- highest weighted hazard of 24 hours
  signals bigint NOT NULL,
  first_at timestamptz NOT NULL,
  last_at timestamptz NOT NULL,
  status_at timestamptz,                 -- of the decision that the status is
  tenant_id text NOT NULL,
  entity_kind text NOT NULL,
  entity text NOT NULL,
  cause text NOT NULL CHECK (cause IN ('hazard', 'tactics')),
  status text NOT NULL CHECK (status IN ('open', 'acknowledged', 'closed', 'false_positive')),
  reopened boolean NOT NULL,             -- by a tactic that came after the decision
  reason text,                           -- of the decision
  decided_by text,
  level text NOT NULL,                   -- highest level of a signal
  tactics text[] NOT NULL,
  techniques text[] NOT NULL,
  rules jsonb NOT NULL,                  -- [{"id", "title", "level", "signals"}, ..], by id
  PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 70);
CREATE INDEX incident_newest ON incident (tenant_id, last_at DESC, id);
CREATE INDEX incident_entity ON incident (tenant_id, entity_kind, entity, opened_hour);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['risk_signal', 'risk_weight', 'risk_triage', 'risk_unusable', 'risk_exposure',
                              'entity_risk', 'incident'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own_tenant ON %I FOR SELECT TO weir_reader, grafana_reader
                      USING (tenant_id = NULLIF(current_setting(''app.tenant_id'', true), ''''))', name);
    EXECUTE format('CREATE POLICY all_tenants ON %I TO weir_writer USING (true) WITH CHECK (true)', name);
    EXECUTE format('GRANT SELECT ON %I TO weir_reader, grafana_reader', name);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO weir_writer', name);
  END LOOP;
END $$;
-- Facts stay; what follows from them is brought up to date.
GRANT UPDATE ON risk_exposure, entity_risk, incident TO weir_writer;
GRANT DELETE ON incident TO weir_writer;

RESET ROLE;
