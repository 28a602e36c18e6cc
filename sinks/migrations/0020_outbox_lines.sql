-- The outbox is relayed in lines, one for each topic that records go to: what one topic does not take holds back no other.
-- A record that its topic will never take as it is (too large) is set aside: it stays, is counted, and is tried again
-- from time to time.
SET LOCAL ROLE weir_owner;

ALTER TABLE outbox
  ADD COLUMN set_aside_at timestamptz,
  ADD COLUMN set_aside_for text CHECK (length(set_aside_for) <= 2048);

CREATE INDEX outbox_line ON outbox (stage, to_topic, topic, partition, number) WHERE set_aside_at IS NULL;
CREATE INDEX outbox_set_aside ON outbox (stage, set_aside_at) WHERE set_aside_at IS NOT NULL;

GRANT UPDATE (set_aside_at, set_aside_for) ON outbox TO weir_writer;

RESET ROLE;
