-- Followers of a log page by its index, and read every block range that is not summarised yet. Whoever falls behind a
-- backlog has ranges summarised as they fill, instead of waiting for autovacuum.
SET LOCAL ROLE weir_owner;

-- Summarises the full block ranges of a partition's index from a block on, but for the last two, to which rows may still
-- be added: a range that is summarised too early costs each further row an update. Without a block it begins 512 MiB
-- before the end; what lies before has been autovacuum's for long. Answers the block to go on from.
CREATE FUNCTION audit_log_summarise(index_of regclass, from_block bigint) RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  a_range CONSTANT bigint := 32;
  blocks bigint := pg_relation_size((SELECT indrelid FROM pg_index WHERE indexrelid = index_of)) / current_setting('block_size')::bigint;
  block bigint := coalesce(from_block, greatest(0, (blocks - 65536) / a_range * a_range));
BEGIN
  WHILE block + 3 * a_range <= blocks LOOP
    PERFORM brin_summarize_range(index_of, block);
    block := block + a_range;
  END LOOP;
  RETURN block;
END $$;
REVOKE EXECUTE ON FUNCTION audit_log_summarise(regclass, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_log_summarise(regclass, bigint) TO weir_writer;

RESET ROLE;
