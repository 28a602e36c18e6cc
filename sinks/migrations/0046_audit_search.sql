-- Searching the audit log at any size: a dictionary of the terms of each tenant, and block-range filters over the columns
-- that have too many values for one.
SET LOCAL ROLE weir_owner;

-- The days on which a term was seen, in UTC: where to look, and whether there is anything to look for. Rows are written
-- after their terms, so that a term that is not here is in no row. About two hundred bytes a term, and one update a term and
-- day: nothing, beside the rows.
CREATE TABLE audit_term (
  tenant_id text NOT NULL,
  field text NOT NULL,
  term text COLLATE "C" NOT NULL,
  days datemultirange NOT NULL,
  -- About how often: a process counts for itself and adds what it has counted now and then.
  seen bigint NOT NULL,
  PRIMARY KEY (tenant_id, field, term)
);

-- A field of which a tenant has more terms than are kept: what is not in the dictionary may be in rows.
CREATE TABLE audit_term_field (
  tenant_id text NOT NULL,
  field text NOT NULL,
  terms bigint NOT NULL,
  overflowed boolean NOT NULL,
  PRIMARY KEY (tenant_id, field)
);

CREATE TYPE audit_term_row AS (tenant_id text, field text, term text, day date, seen bigint);

-- Notes terms. Sorted, so that two writers cannot deadlock.
CREATE FUNCTION audit_terms_learn(given audit_term_row[], most bigint) RETURNS void
  LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  WITH grouped AS (
    SELECT tenant_id, field, term COLLATE "C" AS term, range_agg(daterange(day, day, '[]')) AS days, sum(seen)::bigint AS seen
      FROM unnest(given) GROUP BY 1, 2, 3
  ), learnt AS (
    INSERT INTO audit_term AS t (tenant_id, field, term, days, seen)
    SELECT g.tenant_id, g.field, g.term, g.days, g.seen
      FROM grouped AS g LEFT JOIN audit_term_field AS f USING (tenant_id, field)
     WHERE octet_length(g.term) <= 1024
       AND (f.overflowed IS NOT TRUE
            OR EXISTS (SELECT FROM audit_term AS k
                        WHERE k.tenant_id = g.tenant_id AND k.field = g.field AND k.term = g.term))
     ORDER BY 1, 2, 3
    ON CONFLICT (tenant_id, field, term) DO UPDATE
      SET days = CASE WHEN (SELECT count(*) FROM unnest(t.days)) > 60
                      THEN datemultirange(range_merge(t.days + excluded.days)) ELSE t.days + excluded.days END,
          seen = t.seen + excluded.seen
    RETURNING t.tenant_id, t.field, (t.xmax = 0) AS is_new
  ), fields AS (
    SELECT tenant_id, field, count(*) FILTER (WHERE is_new) AS terms, false AS overflowed FROM learnt GROUP BY 1, 2
    UNION ALL
    SELECT tenant_id, field, 0, true FROM grouped WHERE octet_length(term) > 1024
  )
  INSERT INTO audit_term_field AS f (tenant_id, field, terms, overflowed)
  SELECT tenant_id, field, sum(terms), bool_or(overflowed) OR sum(terms) > most FROM fields
   GROUP BY 1, 2 HAVING sum(terms) > 0 OR bool_or(overflowed) ORDER BY 1, 2
  ON CONFLICT (tenant_id, field) DO UPDATE
    SET terms = f.terms + excluded.terms,
        overflowed = f.overflowed OR excluded.overflowed OR f.terms + excluded.terms > most;
END $$;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['audit_term', 'audit_term_field'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own_tenant ON %I FOR SELECT TO weir_reader, grafana_reader
                      USING (tenant_id = NULLIF(current_setting(''app.tenant_id'', true), ''''))', name);
    EXECUTE format('CREATE POLICY all_tenants ON %I TO weir_writer, weir_owner USING (true) WITH CHECK (true)', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO weir_writer', name);
    EXECUTE format('GRANT SELECT ON %I TO weir_reader, grafana_reader', name);
  END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION audit_terms_learn(audit_term_row[], bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_terms_learn(audit_term_row[], bigint) TO weir_writer;

-- What is there already. A writer of the version before must not run any more when this does: it notes no terms.
INSERT INTO audit_term (tenant_id, field, term, days, seen)
SELECT e.tenant_id, f.field, f.term, range_agg(daterange(e.day, e.day, '[]')), sum(e.seen)
  FROM (SELECT tenant_id, (occurred_at AT TIME ZONE 'UTC')::date AS day, actor, actor_name, action, resource, project,
               source, outcome_code, kind, actor_ip, outcome, count(*) AS seen
          FROM audit_entry GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12) AS e
 CROSS JOIN LATERAL (VALUES ('actor', actor), ('actor_name', actor_name), ('action', action), ('resource', resource),
                            ('project', project), ('source', source), ('outcome_code', outcome_code), ('kind', kind),
                            ('address', actor_ip), ('outcome', outcome)) AS f(field, term)
 WHERE octet_length(f.term) <= 1024
 GROUP BY 1, 2, 3;
INSERT INTO audit_term_field (tenant_id, field, terms, overflowed)
SELECT tenant_id, field, count(*), false FROM audit_term GROUP BY 1, 2;
INSERT INTO audit_term_field (tenant_id, field, terms, overflowed)
SELECT DISTINCT e.tenant_id, f.field, 0, true FROM audit_entry AS e
 CROSS JOIN LATERAL (VALUES ('actor', actor), ('actor_name', actor_name), ('action', action), ('resource', resource),
                            ('project', project), ('source', source), ('outcome_code', outcome_code), ('kind', kind),
                            ('address', actor_ip)) AS f(field, term)
 WHERE octet_length(f.term) > 1024
ON CONFLICT (tenant_id, field) DO UPDATE SET overflowed = true;

-- For each MiB of rows a Bloom filter of a kilobyte or less over each of these columns: 0.4 % of what the rows themselves
-- cost. Ranges are summarised once they are full, by the stage's upkeep: a filter that is made once costs one record.
CREATE INDEX audit_entry_bloom ON audit_entry USING brin (
  actor text_bloom_ops (n_distinct_per_range = 400),
  action text_bloom_ops (n_distinct_per_range = 200),
  resource text_bloom_ops (n_distinct_per_range = 1200),
  actor_ip text_bloom_ops (n_distinct_per_range = 500),
  source text_bloom_ops (n_distinct_per_range = 100),
  correlation_id text_bloom_ops (n_distinct_per_range = 1500)
) WITH (pages_per_range = 128);

-- Summarises the ranges of a partition that are full and are not summarised yet, but for the last two, to which rows may
-- still be added. Answers how many.
CREATE FUNCTION audit_entry_summarise(index_of regclass, from_block bigint, most int) RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  blocks bigint := pg_relation_size((SELECT indrelid FROM pg_index WHERE indexrelid = index_of)) / current_setting('block_size')::bigint;
  block bigint := from_block;
BEGIN
  WHILE block + 3 * 128 <= blocks AND block < from_block + most * 128 LOOP
    PERFORM brin_summarize_range(index_of, block);
    block := block + 128;
  END LOOP;
  RETURN block;
END $$;
REVOKE EXECUTE ON FUNCTION audit_entry_summarise(regclass, bigint, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_entry_summarise(regclass, bigint, int) TO weir_writer;

RESET ROLE;
