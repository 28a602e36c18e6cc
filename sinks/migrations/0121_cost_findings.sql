-- Findings about costs that were put into the outbox: forecasts that reach a threshold, anomalies, first spends; each once.
SET LOCAL ROLE weir_owner;

CREATE TABLE cost_reported (
  reported_at timestamptz NOT NULL DEFAULT now(),
  tenant_id text NOT NULL,
  finding uuid NOT NULL,                 -- derived from what it is about
  kind text NOT NULL,                    -- its CloudEvents type
  PRIMARY KEY (tenant_id, finding)
);
SELECT weir_tenant_table('cost_reported');

RESET ROLE;
