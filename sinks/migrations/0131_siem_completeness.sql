-- The entries of each log that a sink has passed. Written with the sink's position: an entry between others that is not among
-- them was never delivered, whatever lost it.
SET LOCAL ROLE weir_owner;

-- A stretch of a log under one filter: from its first index to the next stretch. What lies before a sink's first stretch was
-- never owed, for the sink began later. Passed are the entries that were delivered, parked or left out by the filter; as they
-- come in order, they are one range, unless some are missing.
CREATE TABLE siem_stretch (
  sink text,
  log text,
  from_index bigint,
  passed int8multirange NOT NULL,
  tenants text[] NOT NULL,               -- the filter; empty for all
  classes bigint[] NOT NULL,             -- likewise
  min_severity bigint NOT NULL,
  PRIMARY KEY (sink, log, from_index)
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE ON siem_stretch TO weir_writer;
GRANT SELECT ON siem_stretch TO weir_reader, weir_operator;

-- Indices that follow one another.
CREATE TYPE siem_run AS (log text, first_index bigint, next_index bigint);

-- Adds entries that a sink has passed. Of more than a thousand ranges the oldest is forgotten, and with it the gap behind.
CREATE FUNCTION siem_pass(of_sink text, of_tenants text[], of_classes bigint[], least_severity bigint, given siem_run[])
  RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  of_log record;
  last siem_stretch;
BEGIN
  FOR of_log IN SELECT g.log, range_agg(int8range(g.first_index, g.next_index)) AS ranges, min(g.first_index) AS first
                  FROM unnest(given) AS g GROUP BY 1 ORDER BY 1 LOOP
    SELECT * INTO last FROM siem_stretch
     WHERE sink = of_sink AND log = of_log.log ORDER BY from_index DESC LIMIT 1;
    IF last.sink IS NULL OR (upper(of_log.ranges) > upper(last.passed) AND
         (last.tenants, last.classes, last.min_severity) IS DISTINCT FROM (of_tenants, of_classes, least_severity)) THEN
      INSERT INTO siem_stretch (sink, log, from_index, passed, tenants, classes, min_severity)
      VALUES (of_sink, of_log.log, greatest(of_log.first, upper(last.passed)), '{}', of_tenants, of_classes, least_severity);
    END IF;
    UPDATE siem_stretch AS s
       SET passed = CASE WHEN (SELECT count(*) FROM unnest(s.passed)) > 1000
                         THEN s.passed - (SELECT int8multirange(r) FROM unnest(s.passed) AS r ORDER BY r LIMIT 1)
                         ELSE s.passed END + of_log.ranges * w.owned
      FROM (SELECT from_index, int8multirange(int8range(from_index, lead(from_index) OVER (ORDER BY from_index))) AS owned
              FROM siem_stretch WHERE sink = of_sink AND log = of_log.log) AS w
     WHERE s.sink = of_sink AND s.log = of_log.log AND s.from_index = w.from_index AND of_log.ranges && w.owned;
  END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION siem_pass(text, text[], bigint[], bigint, siem_run[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION siem_pass(text, text[], bigint[], bigint, siem_run[]) TO weir_writer;

-- Stretches with the index behind each: the next one's first, or that of the last entry passed and one.
CREATE FUNCTION siem_stretches()
  RETURNS TABLE (sink text, log text, from_index bigint, ends bigint, is_last boolean, passed int8multirange,
                 tenants text[], classes bigint[], min_severity bigint)
  LANGUAGE sql STABLE AS $$
  SELECT s.sink, s.log, coalesce(lower(s.passed), s.from_index), coalesce(lead(s.from_index) OVER w, upper(s.passed)),
         lead(s.from_index) OVER w IS NULL, s.passed, s.tenants, s.classes, s.min_severity
    FROM siem_stretch AS s WINDOW w AS (PARTITION BY s.sink, s.log ORDER BY s.from_index);
$$;
REVOKE EXECUTE ON FUNCTION siem_stretches() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION siem_stretches() TO weir_reader, weir_operator;

-- Entries of a range of time by hour and sink, those that the sink's filter takes: `owed`, it has passed them; `parked`, and
-- nobody has decided about them; `missing`; `waiting`, it will come to them.
CREATE FUNCTION siem_hours(of_tenant text, since timestamptz, before timestamptz)
  RETURNS TABLE (hour timestamptz, sink text, owed bigint, parked bigint, missing bigint, waiting bigint)
  LANGUAGE sql STABLE AS $$
  WITH parked AS (
    SELECT substr(p.stage, 6) AS sink, convert_from(p.key, 'UTF8') AS log, (h.header ->> 'value')::bigint AS index
      FROM parked_record AS p CROSS JOIN LATERAL jsonb_array_elements(p.headers) AS h(header)
     WHERE p.tenant_id = of_tenant AND p.stage LIKE 'sink.%' AND p.topic = 'weir.audit.v1' AND p.status = 'parked'
       AND h.header ->> 'name' = 'weir-log-index' AND h.header ->> 'value' ~ '^[0-9]{1,18}$'
  )
  SELECT date_trunc('hour', e.occurred_at, 'UTC'), s.sink,
         count(*) FILTER (WHERE e.log_index < s.ends),
         count(*) FILTER (WHERE s.passed @> e.log_index AND p.index IS NOT NULL),
         count(*) FILTER (WHERE e.log_index < s.ends AND NOT s.passed @> e.log_index),
         count(*) FILTER (WHERE e.log_index >= s.ends)
    FROM audit_entry AS e
    JOIN siem_stretches() AS s ON s.log = e.topic || '/' || e.partition
     AND e.log_index >= s.from_index AND (e.log_index < s.ends OR s.is_last)
     AND (s.tenants = '{}' OR e.tenant_id = ANY (s.tenants)) AND (s.classes = '{}' OR e.class_uid = ANY (s.classes))
     AND e.severity_id >= s.min_severity
    LEFT JOIN parked AS p ON p.sink = s.sink AND p.log = s.log AND p.index = e.log_index
   WHERE e.tenant_id = of_tenant AND e.occurred_at >= since AND e.occurred_at < before
   GROUP BY 1, 2;
$$;
REVOKE EXECUTE ON FUNCTION siem_hours(text, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION siem_hours(text, timestamptz, timestamptz) TO weir_reader;

-- Ranges of entries that a sink has gone past and not delivered, of all tenants: how many its filter takes, and the time of
-- the first of these events.
CREATE FUNCTION siem_gaps()
  RETURNS TABLE (sink text, log text, first_index bigint, next_index bigint, missing bigint, since timestamptz)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  SELECT s.sink, s.log, lower(g.gap), upper(g.gap), e.missing, e.since
    FROM siem_stretches() AS s
   CROSS JOIN LATERAL unnest(int8multirange(int8range(s.from_index, s.ends)) - s.passed) AS g(gap)
   CROSS JOIN LATERAL (
     SELECT count(*) AS missing, min(e.occurred_at) AS since FROM audit_entry AS e
      WHERE e.log_index >= lower(g.gap) AND e.log_index < upper(g.gap) AND s.log = e.topic || '/' || e.partition
        AND (s.tenants = '{}' OR e.tenant_id = ANY (s.tenants)) AND (s.classes = '{}' OR e.class_uid = ANY (s.classes))
        AND e.severity_id >= s.min_severity) AS e
   WHERE e.missing > 0 ORDER BY 1, 2, 3;
$$;
REVOKE EXECUTE ON FUNCTION siem_gaps() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION siem_gaps() TO weir_operator;

RESET ROLE;
