-- Events of Weir's own that commands and the stage `cost` leave: operators' decisions about stages, sinks and parked records, and
-- first spends. Neither may write events to Kafka. A gateway may: it publishes them and then deletes them, as it does with
-- `access_event`. An event has its id from the beginning: one that is published twice is one entry of the log.
SET LOCAL ROLE weir_owner;

CREATE TABLE event_outbox (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id text NOT NULL,
  event_id uuid NOT NULL,
  topic text NOT NULL,
  value bytea NOT NULL,                  -- Avro, with the schema's fingerprint before it
  headers jsonb NOT NULL,                -- as in parked_record
  created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE event_outbox ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY left_for_a_gateway ON event_outbox FOR INSERT TO weir_writer, weir_operator WITH CHECK (true);
CREATE POLICY every_event ON event_outbox TO weir_service USING (true) WITH CHECK (true);
GRANT INSERT ON event_outbox TO weir_writer, weir_operator;
GRANT SELECT, DELETE ON event_outbox TO weir_service;

RESET ROLE;
