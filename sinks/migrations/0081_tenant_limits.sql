-- Limits of single tenants, and what tenants use.
SET LOCAL ROLE weir_owner;

-- Written by operators, read by the gateway and the query API every few seconds. Any other limit is that of the settings.
CREATE TABLE tenant_limit (
  tenant_id text NOT NULL,
  name text NOT NULL,
  value bigint NOT NULL CHECK (value BETWEEN 1 AND 4294967295),
  set_at timestamptz NOT NULL DEFAULT now(), set_by text NOT NULL, reason text NOT NULL,
  PRIMARY KEY (tenant_id, name)
);

-- Added up by every replica of the gateway and the query API every few seconds, kept for a day. What a replica had
-- counted when it was killed is lost: this is for people who look for a reason, and no invoice.
CREATE TABLE tenant_use (
  minute timestamptz NOT NULL,
  tenant_id text NOT NULL,
  measure text NOT NULL,                 -- requests, events, bytes, questions, database_ms, refused.<share>
  amount bigint NOT NULL,
  PRIMARY KEY (minute, tenant_id, measure)
) WITH (fillfactor = 70);

ALTER TABLE tenant_limit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY all_tenants ON tenant_limit TO weir_operator USING (true) WITH CHECK (true);
ALTER TABLE tenant_use ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY all_tenants ON tenant_use TO weir_operator USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_limit, tenant_use TO weir_operator;

RESET ROLE;
