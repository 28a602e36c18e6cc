-- Statistics of tables that grow fast. Autovacuum takes them once a minute at most; until then statements are planned for
-- the few rows that there were.
SET LOCAL ROLE weir_owner;

-- Rows of the largest of the tables, as the planner knows them.
CREATE FUNCTION weir_planned_rows(names text[]) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT coalesce(max(reltuples), 0)::bigint FROM pg_class
   WHERE relname = ANY (names) AND relnamespace = current_schema()::regnamespace
$$;

-- Only the tables' owner may take statistics. One that is taken care of by somebody else is left out.
CREATE FUNCTION weir_take_statistics(names text[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE name text;
BEGIN
  FOR name IN
    SELECT relname FROM pg_class
     WHERE relname = ANY (names) AND relkind = 'r' AND relnamespace = current_schema()::regnamespace ORDER BY relname
  LOOP
    EXECUTE format('ANALYZE (SKIP_LOCKED) %I', name);
  END LOOP;
END $$;
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION weir_take_statistics(text[]) SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE EXECUTE ON FUNCTION weir_take_statistics(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_take_statistics(text[]) TO weir_writer;

RESET ROLE;
