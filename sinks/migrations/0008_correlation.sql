-- Correlation: events that correlation rules count, and the groups within which they count together.
--
-- risk_correlation_event holds facts: written once, never changed. Which of them complete their rule's condition follows
-- from the set of them, and becomes rows of risk_signal in the same transaction. A row of risk_correlation_group is
-- what a transaction locks before it looks at the group's events.
SET LOCAL ROLE weir_owner;

CREATE TABLE risk_correlation_event (
  occurred_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  rule_id text NOT NULL,                 -- the correlation rule
  reference text NOT NULL,               -- the rule that fired, as the correlation refers to it
  group_key text NOT NULL,               -- values of the group-by fields
  value text NOT NULL,                   -- what value_count counts, else ''
  terms jsonb NOT NULL,                  -- timespan and condition, by the rule's version at that time
  signal jsonb NOT NULL,                 -- what the event becomes once it completes the condition
  content_sha256 bytea NOT NULL,         -- the event's
  -- The event first: of the two indexes only the other one serves who looks for a group, whatever is known of the table.
  PRIMARY KEY (tenant_id, event_id, rule_id, reference)
);
CREATE INDEX risk_correlation_event_group ON risk_correlation_event (tenant_id, rule_id, group_key, occurred_at);

CREATE TABLE risk_correlation_group (
  tenant_id text NOT NULL,
  rule_id text NOT NULL,
  group_key text NOT NULL,
  longest_seconds bigint NOT NULL,       -- the longest timespan of any version of the rule
  PRIMARY KEY (tenant_id, rule_id, group_key)
);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['risk_correlation_event', 'risk_correlation_group'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own_tenant ON %I FOR SELECT TO weir_reader, grafana_reader
                      USING (tenant_id = NULLIF(current_setting(''app.tenant_id'', true), ''''))', name);
    EXECUTE format('CREATE POLICY all_tenants ON %I TO weir_writer USING (true) WITH CHECK (true)', name);
    EXECUTE format('GRANT SELECT ON %I TO weir_reader, grafana_reader', name);
    EXECUTE format('GRANT SELECT, INSERT ON %I TO weir_writer', name);
  END LOOP;
END $$;
GRANT UPDATE ON risk_correlation_group TO weir_writer;

RESET ROLE;
