-- What a receiver refused is set aside until its sink delivers it, also where an operator has discarded it and its row is retired.
SET LOCAL ROLE weir_owner;

-- Discarded entries whose rows in parked_record are retired; written as those rows go.
ALTER TABLE siem_stretch ADD COLUMN discarded int8multirange NOT NULL DEFAULT '{}';
GRANT UPDATE (status, settled_by, settled_at, settled_reason) ON parked_record TO weir_writer;

CREATE FUNCTION siem_keep_discarded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE siem_stretch AS s SET discarded = s.discarded + g.ranges * s.passed
    FROM (SELECT substr(p.stage, 6) AS sink, convert_from(p.key, 'UTF8') AS log,
                 range_agg(int8range((h.header ->> 'value')::bigint, (h.header ->> 'value')::bigint + 1)) AS ranges
            FROM gone AS p CROSS JOIN LATERAL jsonb_array_elements(p.headers) AS h(header)
           WHERE p.status = 'discarded' AND p.stage LIKE 'sink.%' AND p.topic IN ('weir.audit.v1', 'weir.audit.backfill.v1')
             AND h.header ->> 'name' = 'weir-log-index' AND h.header ->> 'value' ~ '^[0-9]{1,18}$'
           GROUP BY 1, 2) AS g
   WHERE s.sink = g.sink AND s.log = g.log AND s.passed && g.ranges;
  RETURN NULL;
END $$;
CREATE TRIGGER siem_keep_discarded AFTER DELETE ON parked_record REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION siem_keep_discarded();

-- Settles the parked records that a sink has delivered now: by ranges of offsets, and of indices those whose rows are retired.
CREATE FUNCTION siem_replayed(of_sink text, given siem_run[], topics text[], partitions integer[], firsts bigint[], nexts bigint[])
  RETURNS void LANGUAGE sql AS $$
  WITH was AS (
    SELECT p.topic, p.partition, p.record_offset, p.status
      FROM unnest(topics, partitions, firsts, nexts) AS r(topic, partition, first_offset, next_offset)
      JOIN parked_record AS p ON p.stage = 'sink.' || of_sink AND p.topic = r.topic AND p.partition = r.partition
       AND p.record_offset >= r.first_offset AND p.record_offset < r.next_offset
     WHERE p.status <> 'replayed'
  ), settled AS (
    UPDATE parked_record AS p
       SET status = 'replayed', settled_by = 'its sink', settled_at = now(), settled_reason = NULL
      FROM was
     WHERE p.stage = 'sink.' || of_sink AND p.topic = was.topic AND p.partition = was.partition
       AND p.record_offset = was.record_offset
    RETURNING p.topic, p.partition, was.status
  ), counted AS (
    SELECT topic, partition, count(*) AS replayed, count(*) FILTER (WHERE status = 'discarded') AS discarded
      FROM settled GROUP BY 1, 2
  )
  UPDATE stage_position AS s SET replayed = s.replayed + c.replayed, discarded = s.discarded - c.discarded
    FROM counted AS c
   WHERE s.stage = 'sink.' || of_sink AND s.topic = c.topic AND s.partition = c.partition;

  UPDATE siem_stretch AS s SET discarded = s.discarded - g.ranges
    FROM (SELECT log, range_agg(int8range(first_index, next_index)) AS ranges FROM unnest(given) GROUP BY 1) AS g
   WHERE s.sink = of_sink AND s.log = g.log AND s.discarded && g.ranges;
$$;
REVOKE EXECUTE ON FUNCTION siem_replayed(text, siem_run[], text[], integer[], bigint[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION siem_replayed(text, siem_run[], text[], integer[], bigint[], bigint[]) TO weir_writer;

-- As before, and a discarded record is parked too: its receiver does not have it.
CREATE OR REPLACE FUNCTION siem_hours(of_tenant text, since timestamptz, before timestamptz)
  RETURNS TABLE (hour timestamptz, sink text, owed bigint, parked bigint, missing bigint, waiting bigint)
  LANGUAGE sql STABLE AS $$
  WITH parked AS (
    SELECT DISTINCT substr(p.stage, 6) AS sink, convert_from(p.key, 'UTF8') AS log, (h.header ->> 'value')::bigint AS index
      FROM parked_record AS p CROSS JOIN LATERAL jsonb_array_elements(p.headers) AS h(header)
     WHERE p.tenant_id = of_tenant AND p.stage LIKE 'sink.%' AND p.topic IN ('weir.audit.v1', 'weir.audit.backfill.v1') AND p.status <> 'replayed'
       AND h.header ->> 'name' = 'weir-log-index' AND h.header ->> 'value' ~ '^[0-9]{1,18}$'
  ), retired AS (
    SELECT s.sink, s.log, range_agg(d.indices) AS ranges
      FROM siem_stretch AS s CROSS JOIN LATERAL unnest(s.discarded) AS d(indices) GROUP BY 1, 2
  )
  SELECT date_trunc('hour', e.occurred_at, 'UTC'), s.sink,
         count(*) FILTER (WHERE e.log_index < s.ends),
         count(*) FILTER (WHERE s.passed @> e.log_index AND (p.index IS NOT NULL OR r.ranges @> e.log_index)),
         count(*) FILTER (WHERE e.log_index < s.ends AND NOT s.passed @> e.log_index),
         count(*) FILTER (WHERE e.log_index >= s.ends)
    FROM audit_entry AS e
    JOIN siem_stretches() AS s ON s.log = e.topic || '/' || e.partition
     AND e.log_index >= s.from_index AND (e.log_index < s.ends OR s.is_last)
     AND (s.tenants = '{}' OR e.tenant_id = ANY (s.tenants)) AND (s.classes = '{}' OR e.class_uid = ANY (s.classes))
     AND e.severity_id >= s.min_severity
    LEFT JOIN parked AS p ON p.sink = s.sink AND p.log = s.log AND p.index = e.log_index
    LEFT JOIN retired AS r ON r.sink = s.sink AND r.log = s.log
   WHERE e.tenant_id = of_tenant AND e.occurred_at >= since AND e.occurred_at < before
   GROUP BY 1, 2;
$$;

RESET ROLE;
