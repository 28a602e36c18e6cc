-- What was decided about parked records: why, and how often, so that what still waits for somebody is known without
-- counting rows.
SET LOCAL ROLE weir_owner;

ALTER TABLE parked_record ADD COLUMN settled_reason text CHECK (length(settled_reason) <= 2048);

-- Of the parked records of a partition: so many have been published anew, so many have been given up.
-- parked - replayed - discarded wait for somebody.
ALTER TABLE stage_position
  ADD COLUMN replayed bigint NOT NULL DEFAULT 0,
  ADD COLUMN discarded bigint NOT NULL DEFAULT 0;

-- Those that wait, in the order in which they are published anew.
CREATE INDEX parked_record_waiting ON parked_record (topic, partition, record_offset) WHERE status = 'parked';

-- What an operator decides about a position leaves as an event, in the same transaction.
GRANT INSERT ON outbox TO weir_operator;

RESET ROLE;
