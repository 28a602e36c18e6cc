-- Where the stages stand, what they could not apply, and what must leave again through Kafka.
SET LOCAL ROLE weir_owner;

CREATE TABLE stage_position (
  stage text, topic text, partition integer,
  first_position bigint NOT NULL,
  position bigint NOT NULL,              -- the next offset to apply
  last_offset bigint, last_print bytea,  -- the last settled record and its fingerprint
  cluster_id text NOT NULL,
  topic_id text,                         -- NULL until the client library tells it
  owner_epoch bigint NOT NULL, owner text NOT NULL, claimed_at timestamptz NOT NULL,
  applied bigint NOT NULL DEFAULT 0, duplicate bigint NOT NULL DEFAULT 0,
  ignored bigint NOT NULL DEFAULT 0, parked bigint NOT NULL DEFAULT 0,
  outbox_next bigint NOT NULL DEFAULT 0, -- numbers outbox rows under this row's lock
  halted text,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stage, topic, partition),
  CHECK (0 <= first_position AND first_position <= position),
  CHECK (last_offset < position)
  -- Updated by every transaction: room for HOT updates, and a vacuum that does not wait for a share of the table.
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Ranges that somebody decided to go without: retention was faster than the stage.
CREATE TABLE position_gap (
  stage text, topic text, partition integer,
  from_position bigint NOT NULL, to_position bigint NOT NULL,
  reason text NOT NULL, accepted_by text NOT NULL, accepted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stage, topic, partition, from_position),
  CHECK (from_position < to_position)
);

CREATE TABLE parked_record (
  stage text, topic text, partition integer, record_offset bigint,
  recorded_at timestamptz, tenant_id text, event_id uuid,
  key bytea, value bytea, value_size bigint NOT NULL, value_sha256 bytea NOT NULL, -- value: NULL above 1 MiB
  headers jsonb NOT NULL,                -- [{"name", "value"}, ..]; "hex" in place of "value" where it is no text
  reason text NOT NULL,
  detail text NOT NULL CHECK (length(detail) <= 2048),
  attempts integer NOT NULL, version text NOT NULL,
  parked_at timestamptz NOT NULL DEFAULT now(),
  status text NOT NULL DEFAULT 'parked' CHECK (status IN ('parked', 'replayed', 'discarded')),
  replays smallint NOT NULL DEFAULT 0 CHECK (replays <= 3),
  settled_by text, settled_at timestamptz,
  PRIMARY KEY (stage, topic, partition, record_offset)
);
CREATE INDEX ON parked_record (parked_at);

-- Rows on their way to a topic; relayed in the order of `number`, deleted once acknowledged.
CREATE TABLE outbox (
  stage text, topic text, partition integer, number bigint,
  to_topic text NOT NULL, key bytea, value bytea,
  headers jsonb NOT NULL,                -- as in parked_record
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stage, topic, partition, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Tenants are separated here, not by hope. Records whose tenant could not be read are nobody's.
ALTER TABLE parked_record ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON parked_record FOR SELECT TO weir_reader, grafana_reader
  USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), ''));
CREATE POLICY all_tenants ON parked_record TO weir_writer, weir_operator USING (true) WITH CHECK (true);

GRANT SELECT ON stage_position, position_gap TO weir_reader, grafana_reader;
GRANT SELECT ON parked_record TO weir_reader, grafana_reader;
GRANT SELECT, INSERT, UPDATE ON stage_position TO weir_writer;
GRANT SELECT, INSERT ON position_gap TO weir_writer;
GRANT SELECT, INSERT ON parked_record TO weir_writer;
GRANT SELECT, INSERT, DELETE ON outbox TO weir_writer;
GRANT SELECT, UPDATE ON stage_position TO weir_operator;
GRANT SELECT, INSERT ON position_gap TO weir_operator;
GRANT SELECT, UPDATE ON parked_record TO weir_operator;
GRANT SELECT ON outbox TO weir_operator;

RESET ROLE;
