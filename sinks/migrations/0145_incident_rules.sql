-- Incidents name their rules by key: a rule's text stands once, in risk_rule. A busy entity's incident is written with every
-- batch, and the texts of all its rules were most of what was written.
SET LOCAL ROLE weir_owner;

ALTER TABLE incident
  ADD COLUMN rule_keys bigint[],         -- by rule id; NULL where the release before wrote the row: then rules holds them
  ADD COLUMN rule_signals bigint[];      -- of each, the number of signals
-- Keys are hashes: nothing to compress.
ALTER TABLE incident ALTER COLUMN rule_keys SET STORAGE EXTERNAL, ALTER COLUMN rule_signals SET STORAGE EXTERNAL;
ALTER TABLE incident ALTER COLUMN rules SET DEFAULT '[]';

-- A process of the release before writes rules, and knows nothing of keys.
CREATE FUNCTION incident_rules_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.rule_keys := NULL;
  NEW.rule_signals := NULL;
  RETURN NEW;
END $$;
CREATE TRIGGER incident_rules_written BEFORE UPDATE OF rules ON incident
  FOR EACH ROW EXECUTE FUNCTION incident_rules_written();

-- What writers send; see 0011.
CREATE TYPE incident_keyed_row AS (
  tenant_id text, entity_kind text, entity text, id uuid, opened_hour bigint, last_hour bigint, since_hour bigint,
  peak_micronats bigint, signals bigint, first_at timestamptz, last_at timestamptz, status_at timestamptz, cause text,
  status text, reopened boolean, reason text, decided_by text, level text, tactics text[], techniques text[],
  rule_keys bigint[], rule_signals bigint[]
);

RESET ROLE;
