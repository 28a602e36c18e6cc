-- What each sink owed its receiver: intervals of the logs' indices, each with the number of records that the sink delivered and
-- parked. A closed interval is stated to the receiver, so that its copy can be held against the statement.
SET LOCAL ROLE weir_owner;

CREATE TABLE siem_interval (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sink text NOT NULL,
  log text NOT NULL,
  from_index bigint NOT NULL,            -- the first record's
  upto_index bigint NOT NULL CHECK (upto_index > from_index), -- behind the last record's
  delivered bigint NOT NULL,
  parked bigint NOT NULL,
  opened_at timestamptz NOT NULL DEFAULT now(),
  closed_at timestamptz,
  log_size bigint, log_root bytea,       -- the log's newest checkpoint when the interval was closed
  stated_at timestamptz
);
CREATE UNIQUE INDEX siem_interval_open ON siem_interval (sink, log) WHERE closed_at IS NULL;
CREATE INDEX siem_interval_unstated ON siem_interval (sink, id) WHERE stated_at IS NULL;
CREATE INDEX siem_interval_stated ON siem_interval (sink, stated_at) WHERE stated_at IS NOT NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON siem_interval TO weir_writer;
GRANT SELECT ON siem_interval TO weir_reader, weir_operator;

CREATE TYPE siem_covered AS (log text, first_index bigint, last_index bigint, delivered bigint, parked bigint);

-- Adds records to the open intervals. One that is delivered again, from an earlier index, begins another interval.
CREATE FUNCTION siem_interval_extend(of_sink text, given siem_covered[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  one siem_covered;
BEGIN
  FOREACH one IN ARRAY given LOOP
    UPDATE siem_interval
       SET upto_index = one.last_index + 1, delivered = delivered + one.delivered, parked = parked + one.parked
     WHERE sink = of_sink AND log = one.log AND closed_at IS NULL AND upto_index <= one.first_index;
    IF NOT FOUND THEN
      UPDATE siem_interval SET closed_at = now() WHERE sink = of_sink AND log = one.log AND closed_at IS NULL;
      INSERT INTO siem_interval (sink, log, from_index, upto_index, delivered, parked)
      VALUES (of_sink, one.log, one.first_index, one.last_index + 1, one.delivered, one.parked);
    END IF;
  END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION siem_interval_extend(text, siem_covered[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION siem_interval_extend(text, siem_covered[]) TO weir_writer;
RESET ROLE;
