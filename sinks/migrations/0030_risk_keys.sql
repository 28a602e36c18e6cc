-- Keys of risk's facts begin with the event: who asks what is stored about an event cannot be answered by way of an
-- entity, of which a busy one has any number of signals.
SET LOCAL ROLE weir_owner;

ALTER TABLE risk_signal DROP CONSTRAINT risk_signal_pkey;
ALTER TABLE risk_signal ADD PRIMARY KEY (tenant_id, event_id, entity_kind, entity, rule_id);
DROP INDEX risk_signal_event;
-- An entity's signals, newest first, as they are paged.
DROP INDEX risk_signal_newest;
CREATE INDEX risk_signal_newest ON risk_signal (tenant_id, entity_kind, entity, occurred_at, event_id);

ALTER TABLE risk_weight DROP CONSTRAINT risk_weight_pkey;
ALTER TABLE risk_weight ADD PRIMARY KEY (tenant_id, event_id, entity_kind, entity, weight_source);
ALTER TABLE risk_triage DROP CONSTRAINT risk_triage_pkey;
ALTER TABLE risk_triage ADD PRIMARY KEY (tenant_id, event_id, entity_kind, entity);
-- The newest decisions about an entity.
CREATE INDEX risk_weight_entity ON risk_weight (tenant_id, entity_kind, entity, decided_at, event_id);
CREATE INDEX risk_triage_entity ON risk_triage (tenant_id, entity_kind, entity, decided_at, event_id);

-- Rows that were made to be locked while nothing counts for their entity; no longer are any left behind.
GRANT DELETE ON entity_risk TO weir_writer;
SET LOCAL ROLE weir_writer;
DELETE FROM entity_risk WHERE sort_key = '-Infinity' AND newest_hour = 0 AND signals = 0;

RESET ROLE;
