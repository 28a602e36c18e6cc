-- The gateway and the query API take on roles of their own: what they do for everybody is checking credentials and
-- counting use. Until now they were operators, who make keys and move positions.
--
--   weir_service    reads keys and limits of all tenants, notes when a key was used, counts what tenants use
DO $$
BEGIN
  BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weir_service') THEN
      CREATE ROLE weir_service NOLOGIN;
    END IF;
  EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another database's migration was faster
  END;
  BEGIN
    IF NOT pg_has_role(current_user, 'weir_service',
                       CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
      GRANT weir_service TO CURRENT_USER;
    END IF;
  EXCEPTION WHEN unique_violation OR internal_error THEN
    NULL; -- granted at the same moment ("tuple concurrently updated")
  END;
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO weir_service', current_schema());
END $$;

CREATE POLICY every_credential ON api_key TO weir_service USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (last_used_at) ON api_key TO weir_service;
CREATE POLICY every_limit ON tenant_limit FOR SELECT TO weir_service USING (true);
GRANT SELECT ON tenant_limit TO weir_service;
CREATE POLICY every_use ON tenant_use TO weir_service USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_use TO weir_service;
