-- Filters of block ranges for the other resources of 0169, apart from it: meanwhile only writers wait.
SET LOCAL ROLE weir_owner;

-- For each 512 KiB of rows at most 1,100 bytes. Of an entry's other resources four are known by their place, and that there are
-- more: few entries have so many. A row without any is not looked at.
CREATE INDEX audit_entry_bloom_others ON audit_entry USING brin (
  occurred_at,
  hashtextextended(other_resources[1], hashtextextended(tenant_id, 0)) int8_bloom_ops (n_distinct_per_range = 350, false_positive_rate = 0.005),
  hashtextextended(other_resources[2], hashtextextended(tenant_id, 0)) int8_bloom_ops (n_distinct_per_range = 200, false_positive_rate = 0.01),
  hashtextextended(other_resources[3], hashtextextended(tenant_id, 0)) int8_bloom_ops (n_distinct_per_range = 100, false_positive_rate = 0.01),
  hashtextextended(other_resources[4], hashtextextended(tenant_id, 0)) int8_bloom_ops (n_distinct_per_range = 60, false_positive_rate = 0.01),
  (CASE WHEN cardinality(other_resources) > 4 THEN hashtextextended(tenant_id, 0) END) int8_bloom_ops (n_distinct_per_range = 20, false_positive_rate = 0.01)
) WITH (pages_per_range = 64) WHERE cardinality(other_resources) > 0;

RESET ROLE;
