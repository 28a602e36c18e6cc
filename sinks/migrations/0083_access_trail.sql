-- Who uses which credential, and events about access on their way to the audit log.
SET LOCAL ROLE weir_owner;

-- One row for each principal that was let in: a key, or a subject of an issuer. Written every few minutes, not with every
-- request.
CREATE TABLE principal_use (
  tenant_id text NOT NULL,
  principal text NOT NULL,               -- a key's id, or <issuer>#<subject>
  kind text NOT NULL CHECK (kind IN ('api_key', 'person', 'service')),
  actor text NOT NULL,                   -- as events name it
  actor_name text,
  issuer text,
  roles text[] NOT NULL,                 -- of issuers' subjects; a key has scopes only
  scopes text[] NOT NULL,
  address text NOT NULL,                 -- of the last request
  first_used_at timestamptz NOT NULL,
  last_used_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, principal)
) WITH (fillfactor = 80);
ALTER TABLE principal_use ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY every_use ON principal_use TO weir_service USING (true) WITH CHECK (true);
CREATE POLICY all_tenants ON principal_use FOR SELECT TO weir_operator USING (true);
CREATE POLICY erased ON principal_use TO weir_writer USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON principal_use TO weir_service;
GRANT SELECT ON principal_use TO weir_operator;
GRANT SELECT, DELETE ON principal_use TO weir_writer;

-- Written by the gateway and the query API, published by a gateway, and then deleted. An event has its id from the
-- beginning: one that is published twice is one entry of the log.
CREATE TABLE access_event (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id text NOT NULL,
  event_id uuid NOT NULL UNIQUE,
  occurred_at timestamptz NOT NULL,
  correlation_id text,
  activity text NOT NULL,                -- JSON
  details text NOT NULL,                 -- JSON
  created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE access_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY every_event ON access_event TO weir_service USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON access_event TO weir_service;

RESET ROLE;
