-- Risk's rows hold ids and what they alone know: a rule's text stands once, in risk_rule. An exposure is one row per
-- entity, rule and hour, whatever dedupe keys came. A correlation is reported once for a group and a clock hour.
SET LOCAL ROLE weir_owner;

-- What a table of tenants' rows needs: row-level security for readers, all tenants for stages.
CREATE FUNCTION weir_tenant_table(name regclass, writer_privileges text DEFAULT 'SELECT, INSERT') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
  EXECUTE format('CREATE POLICY own_tenant ON %s FOR SELECT TO weir_reader, grafana_reader
                    USING (tenant_id = NULLIF(current_setting(''app.tenant_id'', true), ''''))', name);
  EXECUTE format('CREATE POLICY all_tenants ON %s TO weir_writer USING (true) WITH CHECK (true)', name);
  EXECUTE format('GRANT SELECT ON %s TO weir_reader, grafana_reader', name);
  EXECUTE format('GRANT %s ON %s TO weir_writer', writer_privileges, name);
END $$;
REVOKE ALL ON FUNCTION weir_tenant_table FROM PUBLIC;

-- Rules as signals and correlations saw them. Written before a batch, never changed.
CREATE TABLE risk_rule (
  rule_key bigint NOT NULL,              -- the first 8 bytes of a hash of all other columns but the tenant
  tenant_id text NOT NULL,
  rule_id text NOT NULL,
  version text NOT NULL,
  title text NOT NULL,
  author text,
  file text NOT NULL,
  level text NOT NULL,
  tactics text[] NOT NULL,
  techniques text[] NOT NULL,
  terms text,                            -- of a correlation: timespan and condition, as JSON
  PRIMARY KEY (tenant_id, rule_key)
);
SELECT weir_tenant_table('risk_rule');

-- What is stored already: the owner may look past row-level security for as long as it is not forced. Keys of rules that
-- are taken from old rows are made another way, which matters to nobody.
ALTER TABLE risk_rule NO FORCE ROW LEVEL SECURITY;
ALTER TABLE risk_signal NO FORCE ROW LEVEL SECURITY;
ALTER TABLE risk_exposure NO FORCE ROW LEVEL SECURITY;
ALTER TABLE risk_correlation_event NO FORCE ROW LEVEL SECURITY;

ALTER TABLE risk_signal ADD COLUMN rule_key bigint;
UPDATE risk_signal SET rule_key = ('x' || substr(md5(ROW(rule_id, rule_version, rule_title, rule_author, rule_file, level,
                                                         tactics, techniques)::text), 1, 16))::bit(64)::bigint;
INSERT INTO risk_rule
SELECT DISTINCT ON (tenant_id, rule_key) rule_key, tenant_id, rule_id, rule_version, rule_title, rule_author, rule_file,
       level, tactics, techniques, NULL
  FROM risk_signal ORDER BY tenant_id, rule_key;
ALTER TABLE risk_signal
  ALTER COLUMN rule_key SET NOT NULL,
  ALTER COLUMN matched TYPE text USING matched::text,    -- read whole, never searched
  DROP COLUMN rule_version, DROP COLUMN rule_title, DROP COLUMN rule_author, DROP COLUMN rule_file, DROP COLUMN level,
  DROP COLUMN tactics, DROP COLUMN techniques;

ALTER TABLE risk_correlation_event ADD COLUMN rule_key bigint;
UPDATE risk_correlation_event
   SET rule_key = ('x' || substr(md5(ROW(signal -> 'rule', terms)::text), 1, 16))::bit(64)::bigint;
INSERT INTO risk_rule
SELECT DISTINCT ON (tenant_id, rule_key) rule_key, tenant_id, rule_id, signal -> 'rule' ->> 'version',
       signal -> 'rule' ->> 'title', signal -> 'rule' ->> 'author', signal -> 'rule' ->> 'file',
       signal -> 'rule' ->> 'level', ARRAY(SELECT jsonb_array_elements_text(signal -> 'rule' -> 'tactics')),
       ARRAY(SELECT jsonb_array_elements_text(signal -> 'rule' -> 'techniques')), terms::text
  FROM risk_correlation_event ORDER BY tenant_id, rule_key
ON CONFLICT DO NOTHING;
ALTER TABLE risk_correlation_event
  ALTER COLUMN rule_key SET NOT NULL,
  ALTER COLUMN signal TYPE text USING (signal - 'rule')::text,
  DROP COLUMN terms;

-- One row for an hour, with the dedupe keys of the highest hazards inside.
CREATE TABLE risk_hour (
  hour bigint NOT NULL,
  rule_key bigint NOT NULL,              -- as of the last event
  micronats bigint NOT NULL,             -- the sum of key_micronats
  signals bigint NOT NULL,
  first_at timestamptz NOT NULL,
  last_at timestamptz NOT NULL,
  last_event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  entity_kind text NOT NULL,
  entity text NOT NULL,
  rule_id text NOT NULL,
  dedupe_keys text[] NOT NULL,           -- at most 8, those of the highest hazards
  key_micronats bigint[] NOT NULL,       -- of each the highest, largest first
  PRIMARY KEY (tenant_id, entity_kind, entity, rule_id, hour)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
INSERT INTO risk_hour
SELECT hour, (SELECT s.rule_key FROM risk_signal AS s
               WHERE s.tenant_id = e.tenant_id AND s.event_id = (array_agg(e.last_event_id ORDER BY e.last_at DESC, e.last_event_id DESC))[1]
                 AND s.entity_kind = e.entity_kind AND s.entity = e.entity AND s.rule_id = e.rule_id),
       (SELECT sum(m) FROM unnest((array_agg(e.micronats ORDER BY e.micronats DESC, e.dedupe_key COLLATE "C"))[1:8]) AS m),
       sum(signals), min(first_at), max(last_at),
       (array_agg(e.last_event_id ORDER BY e.last_at DESC, e.last_event_id DESC))[1],
       tenant_id, entity_kind, entity, rule_id,
       (array_agg(e.dedupe_key ORDER BY e.micronats DESC, e.dedupe_key COLLATE "C"))[1:8],
       (array_agg(e.micronats ORDER BY e.micronats DESC, e.dedupe_key COLLATE "C"))[1:8]
  FROM risk_exposure AS e GROUP BY tenant_id, entity_kind, entity, rule_id, hour;
DROP TABLE risk_exposure;
ALTER TABLE risk_hour RENAME TO risk_exposure;
ALTER INDEX risk_hour_pkey RENAME TO risk_exposure_pkey;
SELECT weir_tenant_table('risk_exposure', 'SELECT, INSERT, UPDATE, DELETE');


-- The event by which a group's condition is reported for a clock hour: the first that completes it.
CREATE TABLE risk_correlation_report (
  hour bigint NOT NULL,
  occurred_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  rule_id text NOT NULL,
  group_key text NOT NULL,
  PRIMARY KEY (tenant_id, rule_id, group_key, hour)
);
SELECT weir_tenant_table('risk_correlation_report', 'SELECT, INSERT, UPDATE');
-- A report goes to another event where one comes in that completes the condition earlier.
GRANT DELETE ON risk_signal TO weir_writer;
ALTER TABLE risk_correlation_group NO FORCE ROW LEVEL SECURITY;
ALTER TABLE risk_correlation_group ADD COLUMN newest_at timestamptz; -- of the group's events
UPDATE risk_correlation_group AS g
   SET newest_at = (SELECT max(e.occurred_at) FROM risk_correlation_event AS e
                     WHERE e.tenant_id = g.tenant_id AND e.rule_id = g.rule_id AND e.group_key = g.group_key);
ALTER TABLE risk_correlation_group ALTER COLUMN newest_at SET NOT NULL;
ALTER TABLE risk_correlation_group FORCE ROW LEVEL SECURITY;
ALTER TABLE risk_rule FORCE ROW LEVEL SECURITY;
ALTER TABLE risk_signal FORCE ROW LEVEL SECURITY;
ALTER TABLE risk_correlation_event FORCE ROW LEVEL SECURITY;
ALTER TABLE risk_correlation_group SET (fillfactor = 70);

-- Ties of the leaderboard are sorted when it is read, so that a score that changes costs two narrow index entries.
DROP INDEX entity_risk_highest;
DROP INDEX entity_risk_highest_of_kind;
CREATE INDEX entity_risk_highest ON entity_risk (tenant_id, sort_key DESC);
CREATE INDEX entity_risk_highest_of_kind ON entity_risk (tenant_id, entity_kind, sort_key DESC);

-- What writers send; see 0011.
CREATE TYPE risk_rule_row AS (
  rule_key bigint, tenant_id text, rule_id text, version text, title text, author text, file text, level text,
  tactics text[], techniques text[], terms text
);
CREATE TYPE risk_signal_row AS (
  tenant_id text, event_id uuid, entity_kind text, entity text, rule_id text, occurred_at timestamptz,
  hazard_micronats bigint, rule_key bigint, score smallint, dedupe_key text, actor text, action text, source text,
  native_format text, matched text, content_sha256 bytea
);
CREATE TYPE risk_weight_row AS (
  tenant_id text, event_id uuid, entity_kind text, entity text, weight_source text, decided_at timestamptz,
  expires_at timestamptz, factor_thousandths integer, decision text, reason text, actor text, content_sha256 bytea
);
CREATE TYPE risk_triage_row AS (
  tenant_id text, event_id uuid, entity_kind text, entity text, decided_at timestamptz, incident_id uuid, decision text,
  rules text[], reason text, actor text, content_sha256 bytea
);
CREATE TYPE risk_unusable_row AS (
  tenant_id text, event_id uuid, occurred_at timestamptz, source text, format text, reason text, content_sha256 bytea
);
CREATE TYPE risk_correlation_event_row AS (
  tenant_id text, event_id uuid, rule_id text, reference text, occurred_at timestamptz, rule_key bigint, group_key text,
  value text, signal text, content_sha256 bytea
);
CREATE TYPE risk_correlation_report_row AS (
  tenant_id text, rule_id text, group_key text, hour bigint, occurred_at timestamptz, event_id uuid
);
CREATE TYPE risk_exposure_row AS (
  tenant_id text, entity_kind text, entity text, rule_id text, hour bigint, rule_key bigint, micronats bigint,
  signals bigint, first_at timestamptz, last_at timestamptz, last_event_id uuid, dedupe_keys text[],
  key_micronats bigint[]
);
CREATE TYPE entity_risk_row AS (
  tenant_id text, entity_kind text, entity text, sort_key double precision, newest_hour bigint, hazard_micronats bigint,
  signals bigint, rules integer, factor_thousandths integer, factor_until timestamptz, first_at timestamptz,
  last_at timestamptz, top_rules jsonb
);
CREATE TYPE incident_row AS (
  tenant_id text, entity_kind text, entity text, id uuid, opened_hour bigint, last_hour bigint, since_hour bigint,
  peak_micronats bigint, signals bigint, first_at timestamptz, last_at timestamptz, status_at timestamptz, cause text,
  status text, reopened boolean, reason text, decided_by text, level text, tactics text[], techniques text[], rules jsonb
);
-- Which rows are asked for: an entity and the first hour, an event, a correlation's group and instants.
CREATE TYPE risk_entity AS (tenant_id text, entity_kind text, entity text, from_hour bigint);
CREATE TYPE event_key AS (tenant_id text, event_id uuid);
CREATE TYPE risk_group AS (
  tenant_id text, rule_id text, group_key text, longest_seconds bigint, oldest_at timestamptz, newest_at timestamptz
);

RESET ROLE;
