-- The gateway decides about plans by how budgets stand: a role that reads what that takes of one tenant at a time, and
-- nothing else.
--
--   weir_decisions  reads budgets and the days that count against them, of the tenant that the transaction names
DO $$
BEGIN
  BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weir_decisions') THEN
      CREATE ROLE weir_decisions NOLOGIN;
    END IF;
  EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another database's migration was faster
  END;
  BEGIN
    IF NOT pg_has_role(current_user, 'weir_decisions',
                       CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
      GRANT weir_decisions TO CURRENT_USER;
    END IF;
  EXCEPTION WHEN unique_violation OR internal_error THEN
    NULL; -- granted at the same moment ("tuple concurrently updated")
  END;
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO weir_decisions', current_schema());
END $$;

SET LOCAL ROLE weir_owner;
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['cost_budget_fact', 'cost_daily', 'cost_series', 'cost_accrual', 'cost_resource'] LOOP
    EXECUTE format('CREATE POLICY of_decisions ON %I FOR SELECT TO weir_decisions
                      USING (tenant_id = NULLIF(current_setting(''app.tenant_id'', true), ''''))', name);
    EXECUTE format('GRANT SELECT ON %I TO weir_decisions', name);
  END LOOP;
END $$;

RESET ROLE;
