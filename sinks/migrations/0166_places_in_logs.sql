-- Followers of a log look for its entries by their index. Entries of all logs lie among one another, and the ranges of blocks told
-- the indices of all of them: a follower of a small log read nearly the whole table. Now they tell the log as well.
SET LOCAL ROLE weir_owner;

-- A number that orders entries by log, then by index: 20 bits of a hash of the log, 43 of the index.
CREATE FUNCTION weir_log_place(topic text, partition integer, log_index bigint) RETURNS bigint
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN ((hashtextextended(topic, partition::bigint) & 1048575) << 43) | log_index;

CREATE INDEX audit_entry_log_place ON audit_entry
  USING brin (weir_log_place(topic, partition, log_index) int8_minmax_multi_ops (values_per_range = 128))
  WITH (pages_per_range = 32, autosummarize = on);

-- Last, for until the end nobody reads the table either.
DROP INDEX audit_entry_log_index;

RESET ROLE;
