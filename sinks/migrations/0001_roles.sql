-- Who may do what. Roles belong to the whole cluster, so several databases may make them at the same time;
-- what exists is kept. None of them can log in: deployments grant them to their own logins
-- (`GRANT weir_writer TO projections`), and Weir's connections take them on with SET ROLE.
--
--   weir_owner      owns the tables; used by migrations only
--   weir_writer     a stage: facts, read models, positions. Bypasses row-level security, because one batch holds
--                   many tenants and COPY FROM is refused where it applies. Never serves a query
--   weir_reader     the query API: one tenant at a time, named in app.tenant_id
--   weir_operator   API keys, parked records and positions of all tenants; no audit rows
--   grafana_reader  dashboards: as weir_reader
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['weir_owner', 'weir_writer', 'weir_reader', 'weir_operator', 'grafana_reader'] LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
        IF name = 'weir_writer' THEN
          BEGIN
            CREATE ROLE weir_writer NOLOGIN BYPASSRLS;
          EXCEPTION WHEN insufficient_privilege THEN
            -- Managed services do not grant it. The policies TO weir_writer below let it work all the same,
            -- with INSERT in place of COPY.
            CREATE ROLE weir_writer NOLOGIN;
          END;
        ELSE
          EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- another database's migration was faster
    END;
    BEGIN
      -- From 16 on, who makes a role may grant it, and until then not take it on.
      IF NOT pg_has_role(current_user, name,
                         CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
        EXECUTE format('GRANT %I TO CURRENT_USER', name);
      END IF;
    EXCEPTION WHEN unique_violation OR internal_error THEN
      NULL; -- granted at the same moment ("tuple concurrently updated")
    END;
  END LOOP;
END $$;

DO $$
BEGIN
  EXECUTE format('GRANT CREATE ON SCHEMA %I TO weir_owner', current_schema());
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO weir_owner, weir_writer, weir_reader, weir_operator, grafana_reader',
                 current_schema());
END $$;
