-- The audit log: one row per event, never changed.
SET LOCAL ROLE weir_owner;

-- Compression dictionaries, by number. Never removed: old rows need them. Filled by `sinks::postgres::migrate`.
CREATE TABLE zstd_dictionary (
  number smallint PRIMARY KEY CHECK (number > 0),
  dictionary bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- What people filter by is a column; the whole OCSF record lies zstd-compressed beside it, because past 2 KB
-- Postgres would compress it itself, and that costs more than everything else together.
-- The fixed-width columns come first, so that nothing is lost to alignment.
CREATE TABLE audit_entry (
  occurred_at timestamptz NOT NULL,
  record_offset bigint NOT NULL,
  event_id uuid NOT NULL,
  partition integer NOT NULL,
  class_uid integer NOT NULL,            -- OCSF
  activity_id integer NOT NULL,          -- OCSF
  severity_id integer NOT NULL,          -- OCSF
  record_dictionary smallint NOT NULL,   -- number in zstd_dictionary; 0: none
  topic text NOT NULL,
  tenant_id text NOT NULL,
  kind text NOT NULL,
  actor_kind text NOT NULL,
  actor text NOT NULL,
  actor_name text,
  actor_ip text,
  action text NOT NULL,
  resource_type text,
  resource text,
  project text,
  outcome text NOT NULL,
  outcome_code text,
  source text NOT NULL,
  correlation_id text,
  content_sha256 bytea NOT NULL,
  record bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id, occurred_at)
) PARTITION BY RANGE (occurred_at);

-- A tenant's newest entries, and every filter within them: the one question that must be quick at any size. It costs
-- 10 % of the WAL (911 to 999 B a row at 800 B rows). Its price in place of BRIN(occurred_at) is the same 10 %, but with
-- BRIN each page would sort the tenant's whole month. Time ranges across tenants need neither: months are partitions.
-- No index on what else people filter by: each would cost as much again, and the range of time bounds the search.
CREATE INDEX audit_entry_newest ON audit_entry (tenant_id, occurred_at);

-- It is compressed already: a large one goes out of line as it is.
ALTER TABLE audit_entry ALTER COLUMN record SET STORAGE EXTERNAL;

-- Catches whatever has no month yet, so that a batch never fails for want of a partition.
CREATE TABLE audit_entry_default PARTITION OF audit_entry DEFAULT;

CREATE FUNCTION audit_entry_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- The one exception: the owner moves rows out of the default partition into their month.
  IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_entry_default' AND current_user = 'weir_owner'
     AND current_setting('weir.moving_rows', true) = 'on' THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'audit entries are never changed: % on %', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entry
  FOR EACH ROW EXECUTE FUNCTION audit_entry_is_append_only();

CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_entry
  FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_is_append_only();

ALTER TABLE audit_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON audit_entry FOR SELECT TO weir_reader, grafana_reader
  USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), ''));
CREATE POLICY all_tenants ON audit_entry TO weir_writer, weir_owner USING (true) WITH CHECK (true);

-- The partitions are nobody's but their owner's: rows are reached through audit_entry only. Their row-level security
-- is on as well, with one policy, for the move out of the default partition.
ALTER TABLE audit_entry_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY all_tenants ON audit_entry_default TO weir_owner USING (true) WITH CHECK (true);

-- Makes the partition of the month in which `day` lies, unless it is there: true if it was made.
-- Rows of that month that lie in the default partition are moved. One at a time, for the whole database.
CREATE FUNCTION audit_entry_make_month(day date) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  first date := date_trunc('month', day::timestamp)::date;
  next date := (date_trunc('month', day::timestamp) + interval '1 month')::date;
  name text := 'audit_entry_' || to_char(first, 'YYYY_MM');
BEGIN
  IF to_regclass(name) IS NOT NULL THEN
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('audit_entry_make_month'));
  IF to_regclass(name) IS NOT NULL THEN
    RETURN false;
  END IF;
  -- Made apart and attached: attaching lets readers and writers of the other partitions go on,
  -- CREATE TABLE .. PARTITION OF would wait for all of them.
  EXECUTE format('CREATE TABLE %I (LIKE audit_entry INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING CONSTRAINTS)', name);
  EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
  EXECUTE format('CREATE POLICY all_tenants ON %I TO weir_owner USING (true) WITH CHECK (true)', name);
  -- Attaching would take this lock anyway; taken first, no row can slip in between the move and the attaching.
  LOCK TABLE audit_entry_default IN ACCESS EXCLUSIVE MODE;
  PERFORM set_config('weir.moving_rows', 'on', true);
  EXECUTE format(
    'WITH moved AS (DELETE FROM audit_entry_default
                     WHERE occurred_at >= %1$L::timestamptz AND occurred_at < %2$L::timestamptz RETURNING *)
     INSERT INTO %3$I SELECT * FROM moved',
    first || ' 00:00:00+00', next || ' 00:00:00+00', name);
  PERFORM set_config('weir.moving_rows', 'off', true);
  EXECUTE format('ALTER TABLE audit_entry ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                 name, first || ' 00:00:00+00', next || ' 00:00:00+00');
  RETURN true;
END $$;

GRANT SELECT, INSERT ON audit_entry TO weir_writer;
GRANT SELECT ON audit_entry TO weir_reader, grafana_reader;
GRANT SELECT ON zstd_dictionary TO weir_writer, weir_reader, weir_operator, grafana_reader;
REVOKE EXECUTE ON FUNCTION audit_entry_make_month(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_entry_make_month(date) TO weir_writer;

RESET ROLE;
