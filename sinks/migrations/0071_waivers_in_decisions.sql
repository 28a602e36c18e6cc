-- The gateway decides by policies and reads which waivers hold, every few seconds.
SET LOCAL ROLE weir_owner;

CREATE INDEX compliance_waiver_by_end ON compliance_waiver (ends_at) WHERE ends_at IS NOT NULL;
CREATE POLICY every_waiver ON compliance_waiver FOR SELECT TO weir_service USING (true);
GRANT SELECT ON compliance_waiver TO weir_service;

RESET ROLE;
