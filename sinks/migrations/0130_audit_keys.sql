-- Searching for a term that few of a tenant's entries hold. The filters of block ranges knew a value, not whose it is: among
-- twenty tenants nearly every range holds a value that one of them uses often, and each of its rows had to be looked at. Now
-- they know hashes of tenant and value. A range is half as long, for a match costs a reading of the whole range.
SET LOCAL ROLE weir_owner;

-- For each 512 KiB of rows, some 650, they take at most 4,900 bytes: 1 % of the rows, written once, when the range is full. There
-- are two, of which a search reads one. The instants let it skip the other ranges of a month when it looks for days.
CREATE INDEX audit_entry_bloom_actor ON audit_entry USING brin (
  occurred_at,
  hashtextextended(actor, hashtextextended(tenant_id, 0)) int8_bloom_ops (n_distinct_per_range = 600, false_positive_rate = 0.003),
  hashtextextended(actor_name, hashtextextended(tenant_id, 0)) int8_bloom_ops (n_distinct_per_range = 300, false_positive_rate = 0.01),
  hashtextextended(action, hashtextextended(tenant_id, 0)) int8_bloom_ops (n_distinct_per_range = 350, false_positive_rate = 0.005),
  hashtextextended(source, hashtextextended(tenant_id, 0)) int8_bloom_ops (n_distinct_per_range = 120, false_positive_rate = 0.01)
) WITH (pages_per_range = 64);
CREATE INDEX audit_entry_bloom_object ON audit_entry USING brin (
  occurred_at,
  hashtextextended(resource, hashtextextended(tenant_id, 0)) int8_bloom_ops (n_distinct_per_range = 650, false_positive_rate = 0.003),
  hashtextextended(actor_ip, hashtextextended(tenant_id, 0)) int8_bloom_ops (n_distinct_per_range = 650, false_positive_rate = 0.003),
  hashtextextended(correlation_id, hashtextextended(tenant_id, 0)) int8_bloom_ops (n_distinct_per_range = 650, false_positive_rate = 0.003)
) WITH (pages_per_range = 64);

CREATE OR REPLACE FUNCTION audit_entry_summarise(index_of regclass, from_block bigint, most int) RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  blocks bigint := pg_relation_size((SELECT indrelid FROM pg_index WHERE indexrelid = index_of)) / current_setting('block_size')::bigint;
  block bigint := from_block;
BEGIN
  WHILE block + 3 * 64 <= blocks AND block < from_block + most * 64 LOOP
    PERFORM brin_summarize_range(index_of, block);
    block := block + 64;
  END LOOP;
  RETURN block;
END $$;

-- The tenant's entries of a range of time that hold any of these terms, each in the field of the same number. Only the filters
-- are asked: to the planner, which knows no correlation of hashes with their place, they never look better than the other
-- indexes.
--
-- It is the owner's, because a hash may not be compared before row-level security has let a row pass, and so not by an index.
-- Therefore it takes the tenant from the session, as the policy of the table does, and from no argument.
CREATE FUNCTION audit_entry_with_any(fields text[], terms text[], since timestamptz, before timestamptz)
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
      WHEN 'resource' THEN 'resource' WHEN 'address' THEN 'actor_ip' WHEN 'source' THEN 'source'
      WHEN 'correlation' THEN 'correlation_id' END;
    IF own_column IS NULL OR terms[nth] IS NULL THEN
      RAISE EXCEPTION 'no filter knows the field %', fields[nth] USING ERRCODE = 'invalid_parameter_value';
    END IF;
    conditions := concat_ws(' OR ', NULLIF(conditions, ''), format(
      '(hashtextextended(%1$I, hashtextextended(tenant_id, 0)) = hashtextextended(%2$L, hashtextextended(%3$L, 0))
        AND %1$I = %2$L)', own_column, terms[nth], tenant));
  END LOOP;
  RETURN QUERY EXECUTE format(
    'SELECT * FROM audit_entry WHERE tenant_id = $1 AND occurred_at >= $2 AND occurred_at < $3 AND (%s)', conditions)
    USING tenant, since, before;
END $$;
REVOKE EXECUTE ON FUNCTION audit_entry_with_any(text[], text[], timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_entry_with_any(text[], text[], timestamptz, timestamptz) TO weir_reader;

-- Last, for until the end nobody reads the table either.
DROP INDEX audit_entry_bloom;

RESET ROLE;
