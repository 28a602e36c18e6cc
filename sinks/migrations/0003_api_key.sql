-- API keys: everything but their secrets, of which only HMAC-SHA-256(pepper, secret) is kept.
SET LOCAL ROLE weir_owner;

CREATE TABLE api_key (
  id text PRIMARY KEY CHECK (id ~ '^[0-9A-Za-z]{8}$'),
  tenant_id text NOT NULL, name text NOT NULL, scopes text[] NOT NULL,
  secret_hmac bytea NOT NULL CHECK (length(secret_hmac) = 32),
  created_at timestamptz NOT NULL DEFAULT now(), revoked_at timestamptz
);

-- Whoever checks a credential does not know its tenant yet, so the operator's role sees all keys; others see none.
ALTER TABLE api_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY all_tenants ON api_key TO weir_operator USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (revoked_at) ON api_key TO weir_operator;

RESET ROLE;
