-- Searching for a resource finds every entry that names it. Only the first resource of an event had a column; now the others have
-- one. 0171 adds the filters of block ranges that know them.
SET LOCAL ROLE weir_owner;

-- NULL where there are none: such an entry costs what it did before. Empty in rows of a version that did not tell them: what is
-- there already, and what a process of the version before still writes.
ALTER TABLE audit_entry ADD COLUMN other_resources text[] DEFAULT '{}';

-- What writers of the log send; see 0011.
CREATE TYPE audit_full_entry AS (
  occurred_at timestamptz, record_offset bigint, event_id uuid, log_index bigint, partition integer, class_uid integer,
  activity_id integer, severity_id integer, record_dictionary smallint, topic text, tenant_id text, kind text,
  actor_kind text, actor text, actor_name text, actor_ip text, action text, resource_type text, resource text,
  project text, outcome text, outcome_code text, source text, correlation_id text, content_sha256 bytea,
  leaf_hash bytea, record bytea, personal_digest bytea, other_resources text[]
);

-- As before, and the field `other_resource`.
CREATE OR REPLACE FUNCTION audit_entry_with_any(fields text[], terms text[], since timestamptz, before timestamptz)
  RETURNS SETOF audit_entry
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT
  SET enable_indexscan = off SET enable_indexonlyscan = off SET enable_seqscan = off SET cpu_index_tuple_cost = 1000000
  SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
  tenant text := NULLIF(current_setting('app.tenant_id', true), '');
  conditions text := '';
  own_column text;
BEGIN
  IF tenant IS NULL OR cardinality(fields) = 0 THEN
    RETURN;
  END IF;
  FOR nth IN 1..cardinality(fields) LOOP
    own_column := CASE fields[nth]
      WHEN 'actor' THEN 'actor' WHEN 'actor_name' THEN 'actor_name' WHEN 'action' THEN 'action'
      WHEN 'resource' THEN 'resource' WHEN 'other_resource' THEN 'other_resources'
      WHEN 'address' THEN 'actor_ip' WHEN 'source' THEN 'source' WHEN 'correlation' THEN 'correlation_id' END;
    IF own_column IS NULL OR terms[nth] IS NULL THEN
      RAISE EXCEPTION 'no filter knows the field %', fields[nth] USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF own_column = 'other_resources' THEN
      -- Each part names the index's own condition: without it the index is not asked.
      FOR place IN 1..4 LOOP
        conditions := concat_ws(' OR ', NULLIF(conditions, ''), format(
          '(cardinality(other_resources) > 0
            AND hashtextextended(other_resources[%1$s], hashtextextended(tenant_id, 0))
                = hashtextextended(%2$L, hashtextextended(%3$L, 0))
            AND %2$L = ANY (other_resources))', place, terms[nth], tenant));
      END LOOP;
      conditions := concat_ws(' OR ', conditions, format(
        '(cardinality(other_resources) > 0
          AND (CASE WHEN cardinality(other_resources) > 4 THEN hashtextextended(tenant_id, 0) END) = hashtextextended(%L, 0)
          AND %L = ANY (other_resources))', tenant, terms[nth]));
    ELSE
      conditions := concat_ws(' OR ', NULLIF(conditions, ''), format(
        '(hashtextextended(%1$I, hashtextextended(tenant_id, 0)) = hashtextextended(%2$L, hashtextextended(%3$L, 0))
          AND %1$I = %2$L)', own_column, terms[nth], tenant));
    END IF;
  END LOOP;
  RETURN QUERY EXECUTE format(
    'SELECT * FROM audit_entry WHERE tenant_id = $1 AND occurred_at >= $2 AND occurred_at < $3 AND (%s)', conditions)
    USING tenant, since, before;
END $$;

-- As audit_entry_erase, with the other resources of what is left. A row that did not tell them still does not.
CREATE TYPE audit_reduced_entry AS (
  tenant_id text, occurred_at timestamptz, event_id uuid, record_dictionary smallint, record bytea, personal_digest bytea,
  actor text, actor_name text, actor_ip text, action text, resource_type text, resource text, project text,
  other_resources text[]
);
CREATE FUNCTION audit_entry_reduce(given audit_reduced_entry[]) RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  reduced bigint;
BEGIN
  PERFORM set_config('weir.erasing', 'on', true);
  UPDATE audit_entry AS e
     SET record_dictionary = g.record_dictionary, record = g.record, personal_digest = g.personal_digest,
         actor = g.actor, actor_name = g.actor_name, actor_ip = g.actor_ip, action = g.action,
         resource_type = g.resource_type, resource = g.resource, project = g.project,
         other_resources = CASE WHEN e.other_resources = '{}' THEN '{}' ELSE g.other_resources END
    FROM unnest(given) AS g
   WHERE e.tenant_id = g.tenant_id AND e.occurred_at = g.occurred_at AND e.event_id = g.event_id
     AND e.personal_digest IS NULL;
  GET DIAGNOSTICS reduced = ROW_COUNT;
  PERFORM set_config('weir.erasing', 'off', true);
  RETURN reduced;
END $$;
REVOKE EXECUTE ON FUNCTION audit_entry_reduce(audit_reduced_entry[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_entry_reduce(audit_reduced_entry[]) TO weir_writer;

-- Whether a legal hold keeps an entry with these resources, the first of them apart.
CREATE FUNCTION legal_hold_keeps(of_tenant text, its_actor text, its_resource text, its_others text[], its_project text)
  RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
  SELECT EXISTS (
    SELECT FROM legal_hold AS h
     WHERE h.tenant_id = of_tenant AND h.active
       AND CASE h.scope
             WHEN 'tenant' THEN true
             WHEN 'person' THEN h.subject = its_actor OR h.subject = its_resource OR h.subject = ANY (its_others)
             WHEN 'project' THEN h.subject = its_project
             ELSE h.subject = its_resource OR h.subject = ANY (its_others)
           END)
$$;
REVOKE EXECUTE ON FUNCTION legal_hold_keeps(text, text, text, text[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION legal_hold_keeps(text, text, text, text[], text) TO weir_writer;

-- As before, and a hold keeps what it keeps wherever its subject stands among an entry's resources.
CREATE OR REPLACE FUNCTION audit_entry_retire(part text, first_block bigint, next_block bigint, due audit_entry_group[])
  RETURNS TABLE (topic text, partition integer, log_index bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF NOT audit_entry_is_attached(part) THEN
    RETURN;
  END IF;
  PERFORM set_config('weir.retiring', 'on', true);
  RETURN QUERY EXECUTE format(
    'WITH gone AS (
       DELETE FROM %1$I AS e USING unnest($1) AS d
        WHERE e.ctid >= $2 AND e.ctid < $3
          AND e.tenant_id = d.tenant_id AND e.class_uid = d.class_uid AND e.topic = d.topic AND e.partition = d.partition
          AND (e.log_index IS NULL OR e.log_index <= d.newest)
          AND NOT legal_hold_keeps(e.tenant_id, e.actor, e.resource, e.other_resources, e.project)
       RETURNING e.tenant_id, e.event_id, e.occurred_at, e.topic, e.partition, e.log_index),
     events AS (
       DELETE FROM audit_event AS v USING gone AS g
        WHERE v.tenant_id = g.tenant_id AND v.event_id = g.event_id AND v.occurred_at = g.occurred_at)
     SELECT g.topic, g.partition, g.log_index FROM gone AS g', part)
    USING due, format('(%s,0)', first_block)::tid, format('(%s,0)', next_block)::tid;
  PERFORM set_config('weir.retiring', 'off', true);
END $$;

-- The legal hold that keeps a subject from being erased, in words; NULL if there is none. Few people are resources: the dictionary
-- of terms says so without a look at the entries.
CREATE OR REPLACE FUNCTION legal_hold_on(of_tenant text, of_subject text) RETURNS text
  LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
  SELECT concat_ws(' ', h.scope, h.subject, NULLIF(h.name, ''))
    FROM legal_hold AS h
   WHERE h.tenant_id = of_tenant AND h.active
     AND CASE
           WHEN h.scope = 'tenant' THEN true
           WHEN h.scope = 'person' AND h.subject = of_subject THEN true
           WHEN h.scope = 'project' THEN EXISTS (SELECT FROM audit_entry AS e WHERE e.tenant_id = of_tenant
                                                    AND e.actor = of_subject AND e.project = h.subject)
           WHEN h.scope = 'person' AND NOT EXISTS (SELECT FROM audit_term AS t WHERE t.tenant_id = of_tenant
                                                      AND t.field IN ('resource', 'other_resource') AND t.term = h.subject)
                AND NOT EXISTS (SELECT FROM audit_term_field AS f WHERE f.tenant_id = of_tenant
                                   AND f.field IN ('resource', 'other_resource') AND f.overflowed) THEN false
           ELSE EXISTS (SELECT FROM audit_entry AS e WHERE e.tenant_id = of_tenant AND e.actor = of_subject
                           AND (e.resource = h.subject OR h.subject = ANY (e.other_resources)))
         END
   ORDER BY h.scope, h.subject, h.name LIMIT 1
$$;

-- The owner's functions look for no tables of the session.
DO $$
DECLARE called regprocedure;
BEGIN
  FOR called IN
    SELECT p.oid FROM pg_proc AS p
     WHERE p.pronamespace = current_schema()::regnamespace
       AND p.proname IN ('audit_entry_reduce', 'audit_entry_retire', 'audit_entry_with_any')
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', called, current_schema());
  END LOOP;
END $$;

RESET ROLE;
