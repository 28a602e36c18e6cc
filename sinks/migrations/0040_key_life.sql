-- API keys end by themselves, remember their last use, and may be narrowed to sources and networks.
SET LOCAL ROLE weir_owner;

ALTER TABLE api_key
  ADD COLUMN expires_at timestamptz,
  -- To the hour or so: written now and then by whoever checks credentials, not with every request.
  ADD COLUMN last_used_at timestamptz,
  -- CloudEvents sources, exact or a beginning and `*`; empty for all.
  ADD COLUMN sources text[] NOT NULL DEFAULT '{}',
  -- CIDR; empty for all.
  ADD COLUMN networks text[] NOT NULL DEFAULT '{}';

GRANT UPDATE (expires_at, last_used_at) ON api_key TO weir_operator;

-- No route was ever guarded by it. The policy is for operators alone, so the owner sees the rows without it only.
ALTER TABLE api_key NO FORCE ROW LEVEL SECURITY;
UPDATE api_key SET scopes = array_remove(scopes, 'dead-letter:admin') WHERE 'dead-letter:admin' = ANY (scopes);
ALTER TABLE api_key FORCE ROW LEVEL SECURITY;

RESET ROLE;
