-- What budgets say about proposed changes.
SET LOCAL ROLE weir_owner;

-- Derived: one row for each budget that a proposal would go beyond, by what was known when it was proposed.
CREATE TABLE change_budget (
  event_id uuid NOT NULL,                -- the proposal
  tenant_id text NOT NULL,
  budget text NOT NULL,
  hard boolean NOT NULL,                 -- it denies the change; otherwise it warns
  verdict jsonb NOT NULL,
  PRIMARY KEY (tenant_id, event_id, budget)
);
SELECT weir_tenant_table('change_budget', 'SELECT, INSERT, DELETE');

RESET ROLE;
