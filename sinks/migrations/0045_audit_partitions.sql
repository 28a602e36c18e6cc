-- Partitions of the audit log are made where they are of use only: months from the year of two years ago to two months
-- ahead, whole years before that. The rest lies in the default partition: times that nobody should have. One request
-- with an event for each month of a century can no longer make partitions by the hundred, which every question pays for.
SET LOCAL ROLE weir_owner;

-- Rows of one partition are looked for in the default partition whenever one is made.
CREATE INDEX audit_entry_default_occurred_at ON audit_entry_default (occurred_at);

-- The partition that a day belongs to, and its bounds; NULL for the default partition.
CREATE FUNCTION audit_entry_partition(day date, today date, OUT name text, OUT first date, OUT next date)
  LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
  year int := extract(year FROM day);
  months_from date := make_date(extract(year FROM today - interval '24 months')::int, 1, 1);
BEGIN
  IF day < DATE '1990-01-01' OR day >= date_trunc('month', today::timestamp) + interval '3 months' THEN
    RETURN;
  END IF;
  first := date_trunc('month', day::timestamp)::date;
  next := (first + interval '1 month')::date;
  name := 'audit_entry_' || to_char(first, 'YYYY_MM');
  -- A year of which some months have their own partitions already goes on by months.
  IF first < months_from AND NOT EXISTS (
       SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'audit_entry'::regclass AND c.relname LIKE 'audit\_entry\_' || year || '\_%') THEN
    first := make_date(year, 1, 1);
    next := make_date(year + 1, 1, 1);
    name := 'audit_entry_' || year;
  END IF;
END $$;

CREATE FUNCTION audit_entry_is_attached(name text) RETURNS boolean
  LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
  SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'audit_entry'::regclass AND inhrelid = to_regclass(name));
$$;

-- A table like the log, beside it: attaching it later lets readers and writers of the other partitions go on. Its CHECK
-- spares the attaching a look at its rows.
CREATE FUNCTION audit_entry_create_detached(name text, first date, next date) RETURNS void
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (LIKE audit_entry INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING CONSTRAINTS)', name);
  EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
  EXECUTE format('CREATE POLICY all_tenants ON %I TO weir_owner USING (true) WITH CHECK (true)', name);
  EXECUTE format('ALTER TABLE %I ADD CONSTRAINT bounds CHECK (occurred_at >= %L AND occurred_at < %L)',
                 name, first || ' 00:00:00+00', next || ' 00:00:00+00');
END $$;

-- Takes ACCESS EXCLUSIVE on the default partition, for as long as Postgres looks through what is left in it.
CREATE FUNCTION audit_entry_attach(name text, first date, next date) RETURNS void
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  EXECUTE format('ALTER TABLE audit_entry ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                 name, first || ' 00:00:00+00', next || ' 00:00:00+00');
  EXECUTE format('ALTER TABLE %I DROP CONSTRAINT bounds', name);
END $$;

-- Makes the partition that the day belongs to. `there`: it was there; `made`; `default`: the day has none of its own;
-- `misplaced`: rows of it lie in the default partition, and must be moved first. Fails where a lock is not to be had at
-- once: a reader in a long transaction must not make all others queue behind this.
CREATE FUNCTION audit_entry_make_partition(day date, today date) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '2s' AS $$
DECLARE
  part record := audit_entry_partition(day, today);
BEGIN
  IF part.name IS NULL THEN
    RETURN 'default';
  ELSIF audit_entry_is_attached(part.name) THEN
    RETURN 'there';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('audit_entry_make_month'));
  part := audit_entry_partition(day, today);
  IF audit_entry_is_attached(part.name) THEN
    RETURN 'there';
  ELSIF EXISTS (SELECT FROM audit_entry_default
                 WHERE occurred_at >= (part.first || ' 00:00:00+00')::timestamptz
                   AND occurred_at < (part.next || ' 00:00:00+00')::timestamptz) THEN
    RETURN 'misplaced';
  END IF;
  PERFORM set_config('lock_timeout', '200ms', true);
  PERFORM audit_entry_create_detached(part.name, part.first, part.next);
  PERFORM audit_entry_attach(part.name, part.first, part.next);
  RETURN 'made';
END $$;

-- Writers of the version before ask so.
CREATE OR REPLACE FUNCTION audit_entry_make_month(day date) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  RETURN audit_entry_make_partition(day, (now() AT TIME ZONE 'UTC')::date) = 'made';
END $$;

-- One day of each partition of which rows lie in the default partition, and how many rows.
CREATE FUNCTION audit_entry_misplaced(today date) RETURNS TABLE (day date, misplaced bigint)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  SELECT min(m.month), sum(m.rows)::bigint
    FROM (SELECT date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date AS month, count(*) AS rows
            FROM audit_entry_default GROUP BY 1) AS m
   CROSS JOIN LATERAL audit_entry_partition(m.month, today) AS part
   WHERE part.name IS NOT NULL GROUP BY part.name ORDER BY 1;
$$;

-- Whether the default partition could be locked right now: asked before work that would be in vain.
CREATE FUNCTION audit_entry_default_is_free() RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '200ms' AS $$
BEGIN
  LOCK TABLE audit_entry_default IN ACCESS EXCLUSIVE MODE;
  RAISE EXCEPTION 'lets go of the lock' USING ERRCODE = 'WE003';
EXCEPTION
  WHEN SQLSTATE 'WE003' THEN RETURN true;
  WHEN lock_not_available THEN RETURN false;
END $$;

-- Moves a slice of the day's rows out of the default partition into their table, which readers see once all of the
-- transaction is committed; until then they see the rows where they were. The slices take no lock that anybody waits for.
CREATE FUNCTION audit_entry_move_slice(day date, today date, most bigint) RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  part record := audit_entry_partition(day, today);
  moved bigint;
BEGIN
  IF to_regclass(part.name) IS NULL THEN
    PERFORM audit_entry_create_detached(part.name, part.first, part.next);
  END IF;
  PERFORM set_config('weir.moving_rows', 'on', true);
  EXECUTE format(
    'WITH moved AS (DELETE FROM audit_entry_default
                     WHERE ctid = ANY (ARRAY(SELECT ctid FROM audit_entry_default
                                              WHERE occurred_at >= %L AND occurred_at < %L LIMIT %s)) RETURNING *)
     INSERT INTO %I SELECT * FROM moved',
    part.first || ' 00:00:00+00', part.next || ' 00:00:00+00', most, part.name);
  GET DIAGNOSTICS moved = ROW_COUNT;
  PERFORM set_config('weir.moving_rows', 'off', true);
  RETURN moved;
END $$;

-- Ends a move: under the lock only what arrived during the move is moved, then the table becomes a partition.
CREATE FUNCTION audit_entry_finish_move(day date, today date) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '200ms' AS $$
DECLARE
  part record := audit_entry_partition(day, today);
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('audit_entry_make_month'));
  LOCK TABLE audit_entry_default IN ACCESS EXCLUSIVE MODE;
  PERFORM audit_entry_move_slice(day, today, 9223372036854775807);
  PERFORM audit_entry_attach(part.name, part.first, part.next);
END $$;

REVOKE EXECUTE ON FUNCTION
  audit_entry_create_detached(text, date, date), audit_entry_attach(text, date, date),
  audit_entry_make_partition(date, date), audit_entry_misplaced(date), audit_entry_default_is_free(),
  audit_entry_move_slice(date, date, bigint), audit_entry_finish_move(date, date)
  FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  audit_entry_make_partition(date, date), audit_entry_misplaced(date), audit_entry_default_is_free(),
  audit_entry_move_slice(date, date, bigint), audit_entry_finish_move(date, date)
  TO weir_writer;

RESET ROLE;
