-- Under which rules or policies a stage decided: what it derives from the same records depends on them.
SET LOCAL ROLE weir_owner;

-- Hash of the rule set of the last batch; NULL where the stage has no rules.
ALTER TABLE stage_position ADD COLUMN rule_set text;

-- One row for each change: from which offset on a rule set was in force.
CREATE TABLE stage_rule_set (
  stage text, topic text, partition integer,
  from_offset bigint,
  rule_set text NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stage, topic, partition, from_offset)
);

-- In the transaction that moves the position, and without a statement of its own for the batches that change nothing.
CREATE FUNCTION note_rule_set() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO stage_rule_set (stage, topic, partition, from_offset, rule_set)
  VALUES (NEW.stage, NEW.topic, NEW.partition, OLD.position, NEW.rule_set)
  ON CONFLICT (stage, topic, partition, from_offset) DO UPDATE SET rule_set = excluded.rule_set, since = now();
  RETURN NEW;
END $$;
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION note_rule_set() SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE EXECUTE ON FUNCTION note_rule_set() FROM PUBLIC;
CREATE TRIGGER note_rule_set AFTER UPDATE ON stage_position FOR EACH ROW
  WHEN (NEW.rule_set IS DISTINCT FROM OLD.rule_set AND NEW.rule_set IS NOT NULL)
  EXECUTE FUNCTION note_rule_set();

GRANT SELECT ON stage_rule_set TO weir_reader, grafana_reader, weir_writer, weir_operator;

RESET ROLE;
