-- How each sink stands, as the process that runs it tells, and whether an operator has paused it. Positions are where those of
-- all stages are.
SET LOCAL ROLE weir_owner;

CREATE TABLE siem_sink (
  name text PRIMARY KEY,
  kind text,
  state text CHECK (state IN ('delivering', 'retrying', 'refused', 'paused')),
  why text,
  state_since timestamptz,
  paused_by text,
  paused_why text,
  paused_at timestamptz
);
GRANT SELECT, INSERT, UPDATE ON siem_sink TO weir_writer, weir_operator;
GRANT SELECT ON siem_sink TO weir_reader;

RESET ROLE;
