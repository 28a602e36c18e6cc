-- Backfills: entries of the log that a sink has not passed and that weir.audit.v1 does not hold any more, asked for by an operator,
-- brought from the table to weir.audit.backfill.v1 by a process that runs the stage audit.
SET LOCAL ROLE weir_owner;

-- A range of a log's indices for one sink. The topic itself is the truth about how far it was written: `next_index` and
-- `next_offset` only say from where on it need be read, and are noted after the records are there.
CREATE TABLE siem_backfill (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  sink text NOT NULL,
  log text NOT NULL,
  from_index bigint NOT NULL,
  until_index bigint NOT NULL CHECK (until_index > from_index),
  next_index bigint NOT NULL,
  next_offset bigint,
  asked_by text NOT NULL,
  asked_at timestamptz NOT NULL DEFAULT now(),
  noted_at timestamptz
);
CREATE INDEX siem_backfill_open ON siem_backfill (sink, log) WHERE next_index < until_index;
GRANT SELECT, UPDATE, DELETE ON siem_backfill TO weir_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON siem_backfill TO weir_operator;
GRANT SELECT ON siem_backfill TO weir_reader;

-- A backfill's records are counted in intervals of their own: those of the log's newest records go on beside them.
ALTER TABLE siem_interval ADD COLUMN backfilled boolean NOT NULL DEFAULT false;
DROP INDEX siem_interval_open;
CREATE UNIQUE INDEX siem_interval_open ON siem_interval (sink, log, backfilled) WHERE closed_at IS NULL;

CREATE FUNCTION siem_interval_extend(of_sink text, given siem_covered[], is_backfilled boolean) RETURNS void
  LANGUAGE plpgsql AS $$
DECLARE
  one siem_covered;
BEGIN
  FOREACH one IN ARRAY given LOOP
    UPDATE siem_interval
       SET upto_index = one.last_index + 1, delivered = delivered + one.delivered, parked = parked + one.parked
     WHERE sink = of_sink AND log = one.log AND backfilled = is_backfilled AND closed_at IS NULL
       AND upto_index <= one.first_index;
    IF NOT FOUND THEN
      UPDATE siem_interval SET closed_at = now()
       WHERE sink = of_sink AND log = one.log AND backfilled = is_backfilled AND closed_at IS NULL;
      INSERT INTO siem_interval (sink, log, from_index, upto_index, delivered, parked, backfilled)
      VALUES (of_sink, one.log, one.first_index, one.last_index + 1, one.delivered, one.parked, is_backfilled);
    END IF;
  END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION siem_interval_extend(text, siem_covered[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION siem_interval_extend(text, siem_covered[], boolean) TO weir_writer;

-- As the version before calls it, which knows of no backfill.
CREATE OR REPLACE FUNCTION siem_interval_extend(of_sink text, given siem_covered[]) RETURNS void LANGUAGE sql AS $$
  SELECT siem_interval_extend(of_sink, given, false);
$$;

-- As before, and entries before a sink's first stretch begin a stretch of their own.
CREATE OR REPLACE FUNCTION siem_pass(of_sink text, of_tenants text[], of_classes bigint[], least_severity bigint, given siem_run[])
  RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  of_log record;
  last siem_stretch;
  first_passed bigint;
BEGIN
  FOR of_log IN SELECT g.log, range_agg(int8range(g.first_index, g.next_index)) AS ranges, min(g.first_index) AS first
                  FROM unnest(given) AS g GROUP BY 1 ORDER BY 1 LOOP
    SELECT * INTO last FROM siem_stretch
     WHERE sink = of_sink AND log = of_log.log ORDER BY from_index DESC LIMIT 1;
    SELECT min(from_index) INTO first_passed FROM siem_stretch WHERE sink = of_sink AND log = of_log.log;
    IF last.sink IS NULL OR (upper(of_log.ranges) > upper(last.passed) AND
         (last.tenants, last.classes, last.min_severity) IS DISTINCT FROM (of_tenants, of_classes, least_severity)) THEN
      INSERT INTO siem_stretch (sink, log, from_index, passed, tenants, classes, min_severity)
      VALUES (of_sink, of_log.log, greatest(of_log.first, upper(last.passed)), '{}', of_tenants, of_classes, least_severity);
    END IF;
    IF of_log.first < first_passed THEN
      INSERT INTO siem_stretch (sink, log, from_index, passed, tenants, classes, min_severity)
      VALUES (of_sink, of_log.log, of_log.first, '{}', of_tenants, of_classes, least_severity);
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

-- As before, and parked records of backfills.
CREATE OR REPLACE FUNCTION siem_hours(of_tenant text, since timestamptz, before timestamptz)
  RETURNS TABLE (hour timestamptz, sink text, owed bigint, parked bigint, missing bigint, waiting bigint)
  LANGUAGE sql STABLE AS $$
  WITH parked AS (
    SELECT substr(p.stage, 6) AS sink, convert_from(p.key, 'UTF8') AS log, (h.header ->> 'value')::bigint AS index
      FROM parked_record AS p CROSS JOIN LATERAL jsonb_array_elements(p.headers) AS h(header)
     WHERE p.tenant_id = of_tenant AND p.stage LIKE 'sink.%' AND p.topic IN ('weir.audit.v1', 'weir.audit.backfill.v1') AND p.status = 'parked'
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

-- As before, without what a backfill is still to bring.
CREATE OR REPLACE FUNCTION siem_gaps()
  RETURNS TABLE (sink text, log text, first_index bigint, next_index bigint, missing bigint, since timestamptz)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  SELECT s.sink, s.log, lower(g.gap), upper(g.gap), e.missing, e.since
    FROM siem_stretches() AS s
    LEFT JOIN LATERAL (SELECT range_agg(int8range(b.next_index, b.until_index)) AS ranges FROM siem_backfill AS b
                        WHERE b.sink = s.sink AND b.log = s.log AND b.next_index < b.until_index) AS coming ON true
   CROSS JOIN LATERAL unnest(int8multirange(int8range(s.from_index, s.ends)) - s.passed
                             - coalesce(coming.ranges, '{}')) AS g(gap)
   CROSS JOIN LATERAL (
     SELECT count(*) AS missing, min(e.occurred_at) AS since FROM audit_entry AS e
      WHERE e.log_index >= lower(g.gap) AND e.log_index < upper(g.gap) AND s.log = e.topic || '/' || e.partition
        AND (s.tenants = '{}' OR e.tenant_id = ANY (s.tenants)) AND (s.classes = '{}' OR e.class_uid = ANY (s.classes))
        AND e.severity_id >= s.min_severity) AS e
   WHERE e.missing > 0 ORDER BY 1, 2, 3;
$$;

RESET ROLE;
