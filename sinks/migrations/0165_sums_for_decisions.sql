-- Budgets are summed up from months and groups of series; decisions read how they stand.
SET LOCAL ROLE weir_owner;

DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['cost_monthly', 'cost_daily_group'] LOOP
    EXECUTE format('CREATE POLICY of_decisions ON %I FOR SELECT TO weir_decisions
                      USING (tenant_id = NULLIF(current_setting(''app.tenant_id'', true), ''''))', name);
    EXECUTE format('GRANT SELECT ON %I TO weir_decisions', name);
  END LOOP;
END $$;

RESET ROLE;
