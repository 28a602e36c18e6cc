-- Where the relay of each log stands in weir.audit.v1. The topic itself is the truth: this only says from where on it need
-- be read, and is noted after the records are there.
SET LOCAL ROLE weir_owner;

CREATE TABLE audit_topic_position (
  log text PRIMARY KEY,
  next_index bigint NOT NULL,
  next_offset bigint NOT NULL,
  noted_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON audit_topic_position TO weir_writer;
GRANT SELECT ON audit_topic_position TO weir_reader, weir_operator;

RESET ROLE;
