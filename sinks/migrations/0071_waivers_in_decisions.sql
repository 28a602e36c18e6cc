-- The gateway decides by policies and reads the granted waivers, every few seconds, in the role of services. Migration 0082
-- says what else that role may do; whichever of the two runs first makes it.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weir_service') THEN
    CREATE ROLE weir_service NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- another database's migration was faster
END $$;

SET LOCAL ROLE weir_owner;

CREATE INDEX compliance_waiver_by_end ON compliance_waiver (ends_at) WHERE ends_at IS NOT NULL;
CREATE POLICY every_waiver ON compliance_waiver FOR SELECT TO weir_service USING (true);
GRANT SELECT ON compliance_waiver TO weir_service;

RESET ROLE;
