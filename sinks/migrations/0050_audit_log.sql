-- The tamper-evident log: every entry has a place in the log of its input partition, and every log is a Merkle tree.
-- Entries that were written before have none (NULL): a log begins with the first entry after this migration, at
-- `audit_log.first_offset`.
SET LOCAL ROLE weir_owner;

ALTER TABLE audit_entry
  ADD COLUMN log_index bigint,
  ADD COLUMN leaf_hash bytea,
  -- Of an erased person's entries, the digest that their leaves were made with; their records are the public parts.
  ADD COLUMN personal_digest bytea;

-- Followers of a log page by its index. Rows of a log lie in the order of their indices, so ranges of blocks tell where;
-- a b-tree would cost each entry a tenth of its WAL.
CREATE INDEX audit_entry_log_index ON audit_entry
  USING brin (log_index int8_minmax_multi_ops) WITH (pages_per_range = 32, autosummarize = on);

CREATE TYPE audit_log_row AS (
  occurred_at timestamptz, record_offset bigint, event_id uuid, log_index bigint, partition integer, class_uid integer,
  activity_id integer, severity_id integer, record_dictionary smallint, topic text, tenant_id text, kind text,
  actor_kind text, actor text, actor_name text, actor_ip text, action text, resource_type text, resource text,
  project text, outcome text, outcome_code text, source text, correlation_id text, content_sha256 bytea,
  leaf_hash bytea, record bytea
);

-- One row a log, named <topic>/<partition>.
CREATE TABLE audit_log (
  log text PRIMARY KEY,
  topic text NOT NULL,
  partition integer NOT NULL,
  first_offset bigint NOT NULL,          -- the offset of its first entry
  size bigint NOT NULL CHECK (size > 0), -- entries
  frontier bytea NOT NULL,               -- roots of the complete subtrees, largest first
  last_leaf bytea NOT NULL
);

-- Full tiles of 256 hashes (C2SP tlog-tiles). They outlive the entries.
CREATE TABLE audit_tile (
  log text NOT NULL,
  level smallint NOT NULL,
  index bigint NOT NULL,
  hashes bytea NOT NULL CHECK (length(hashes) = 8192),
  PRIMARY KEY (log, level, index)
);
ALTER TABLE audit_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- The leaves of the tile that is not full yet, as they came.
CREATE TABLE audit_tile_part (
  log text NOT NULL,
  first_index bigint NOT NULL,
  hashes bytea NOT NULL,
  PRIMARY KEY (log, first_index)
);
ALTER TABLE audit_tile_part ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Signed notes, with the cosignatures that came in.
CREATE TABLE audit_checkpoint (
  log text NOT NULL,
  size bigint NOT NULL,
  root bytea NOT NULL,
  note text NOT NULL,
  signed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (log, size)
);

-- The keys of subjects' salts. Erasing a subject deletes its key.
CREATE TABLE subject_key (
  tenant_id text NOT NULL,
  actor text NOT NULL,
  key bytea NOT NULL CHECK (length(key) = 32),
  PRIMARY KEY (tenant_id, actor)
);
ALTER TABLE subject_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON subject_key FOR SELECT TO weir_reader
  USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), ''));
CREATE POLICY all_tenants ON subject_key TO weir_writer, weir_owner USING (true) WITH CHECK (true);

CREATE TYPE audit_log_move AS (
  log text, topic text, partition integer, first_offset bigint, start bigint, previous_leaf bytea, size bigint,
  frontier bytea, last_leaf bytea, fills_tile boolean
);
CREATE TYPE audit_tile_row AS (log text, level smallint, index bigint, hashes bytea);
CREATE TYPE audit_tile_part_row AS (log text, first_index bigint, hashes bytea);
CREATE TYPE subject_key_row AS (tenant_id text, actor text, key bytea);

-- Moves logs on in the transaction of their entries, each from where the writer believes that it stands, or fails.
CREATE FUNCTION audit_log_advance(
  moves audit_log_move[], tiles audit_tile_row[], parts audit_tile_part_row[], keys subject_key_row[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  moved bigint;
BEGIN
  INSERT INTO audit_log AS l (log, topic, partition, first_offset, size, frontier, last_leaf)
  SELECT m.log, m.topic, m.partition, m.first_offset, m.size, m.frontier, m.last_leaf FROM unnest(moves) AS m
   WHERE m.start = 0 OR EXISTS (SELECT FROM audit_log AS own WHERE own.log = m.log)
   ORDER BY m.log
  ON CONFLICT (log) DO UPDATE
     SET size = excluded.size, frontier = excluded.frontier, last_leaf = excluded.last_leaf
   WHERE (l.size, l.last_leaf) =
         (SELECT m.start, m.previous_leaf FROM unnest(moves) AS m WHERE m.log = excluded.log);
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved <> cardinality(moves) THEN
    RAISE EXCEPTION '% of % logs are where the batch begins', moved, cardinality(moves) USING ERRCODE = 'WE002';
  END IF;
  DELETE FROM audit_tile_part AS p USING unnest(moves) AS m WHERE m.fills_tile AND p.log = m.log;
  INSERT INTO audit_tile_part SELECT * FROM unnest(parts);
  IF cardinality(tiles) > 0 THEN
    INSERT INTO audit_tile SELECT * FROM unnest(tiles);
  END IF;
  IF cardinality(keys) > 0 THEN
    INSERT INTO subject_key SELECT * FROM unnest(keys) AS k ORDER BY k.tenant_id, k.actor ON CONFLICT DO NOTHING;
  END IF;
  RETURN true;
END $$;

GRANT SELECT, INSERT, UPDATE ON audit_log TO weir_writer;
GRANT SELECT, INSERT ON audit_tile, subject_key TO weir_writer;
GRANT SELECT, INSERT, DELETE ON audit_tile_part TO weir_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON audit_checkpoint TO weir_writer;
GRANT SELECT ON audit_log, audit_tile, audit_tile_part, audit_checkpoint TO weir_reader, weir_operator;
GRANT SELECT ON subject_key TO weir_reader;
REVOKE EXECUTE ON FUNCTION audit_log_advance(audit_log_move[], audit_tile_row[], audit_tile_part_row[], subject_key_row[])
  FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_log_advance(audit_log_move[], audit_tile_row[], audit_tile_part_row[], subject_key_row[])
  TO weir_writer;

RESET ROLE;
