-- How many partitions a topic had when a stage first claimed one of it: with another number its keys have moved. Empty
-- until the next claim, also where somebody has accepted another number.
SET LOCAL ROLE weir_owner;

ALTER TABLE stage_position ADD COLUMN topic_partitions integer CHECK (topic_partitions > 0);

RESET ROLE;
