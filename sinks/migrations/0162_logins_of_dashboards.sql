-- A login of dashboards sees the tenant that it was given, whatever its session says: whoever edits a panel can set
-- `app.tenant_id`. The policies that read the session stay; these restrict them.
SET LOCAL ROLE weir_owner;

-- Which tenant a login of dashboards belongs to.
CREATE TABLE dashboard_login (
  login name PRIMARY KEY,
  tenant_id text NOT NULL
);
ALTER TABLE dashboard_login ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY all_tenants ON dashboard_login TO weir_owner, weir_operator USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON dashboard_login TO weir_operator;

-- Logins that were made as documented name their tenant in their settings.
INSERT INTO dashboard_login
SELECT r.rolname, substr(setting, length('app.tenant_id=') + 1)
  FROM pg_db_role_setting AS s
  JOIN pg_roles AS r ON r.oid = s.setrole
 CROSS JOIN unnest(s.setconfig) AS setting
 WHERE setting LIKE 'app.tenant\_id=_%' AND NOT r.rolsuper AND pg_has_role(r.oid, 'grafana_reader', 'MEMBER')
ON CONFLICT DO NOTHING;

-- The tenant of the login that this session began with. Only a superuser can begin as somebody else.
CREATE FUNCTION weir_login_tenant() RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  RETURN (SELECT d.tenant_id FROM dashboard_login AS d WHERE d.login = session_user);
END $$;
REVOKE EXECUTE ON FUNCTION weir_login_tenant() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_login_tenant() TO grafana_reader;

-- Sessions of the owner may read as a dashboard does by taking on its role.
CREATE FUNCTION weir_confine_dashboards(name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE POLICY of_the_login ON %s AS RESTRICTIVE FOR SELECT TO grafana_reader
                    USING (tenant_id = (SELECT weir_login_tenant())
                           OR (SELECT pg_has_role(session_user, ''weir_owner'', ''MEMBER'')))', name);
END $$;
REVOKE ALL ON FUNCTION weir_confine_dashboards FROM PUBLIC;

SELECT weir_confine_dashboards(p.polrelid)
  FROM (SELECT DISTINCT polrelid FROM pg_policy WHERE 'grafana_reader'::regrole = ANY (polroles)) AS p
  JOIN pg_class AS c ON c.oid = p.polrelid AND c.relnamespace = current_schema()::regnamespace
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped;

CREATE OR REPLACE FUNCTION weir_tenant_table(name regclass, writer_privileges text DEFAULT 'SELECT, INSERT') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
  EXECUTE format('CREATE POLICY own_tenant ON %s FOR SELECT TO weir_reader, grafana_reader
                    USING (tenant_id = NULLIF(current_setting(''app.tenant_id'', true), ''''))', name);
  EXECUTE format('CREATE POLICY all_tenants ON %s TO weir_writer USING (true) WITH CHECK (true)', name);
  EXECUTE format('GRANT SELECT ON %s TO weir_reader, grafana_reader', name);
  EXECUTE format('GRANT %s ON %s TO weir_writer', writer_privileges, name);
  PERFORM weir_confine_dashboards(name);
END $$;

-- Functions that run as their owner look for tables in Weir's schema before those that a session made for itself.
DO $$
DECLARE
  definer regprocedure;
BEGIN
  FOR definer IN SELECT oid FROM pg_proc WHERE prosecdef AND pronamespace = current_schema()::regnamespace LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', definer, current_schema());
  END LOOP;
END $$;

RESET ROLE;
