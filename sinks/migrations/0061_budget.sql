-- Budgets: what was decided, and which thresholds were reached.
SET LOCAL ROLE weir_owner;

-- One row per event, never changed; of a budget the newest is in force.
CREATE TABLE cost_budget_fact (
  decided_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  budget text NOT NULL,
  decision text NOT NULL,                -- set, removed, unreadable
  fault text,                            -- why it is unreadable
  amount numeric, currency text, period text,
  scope text, scope_key text, scope_value text, -- tenant, project, team, tag; the tag's key; the value
  cost text, enforcement text,
  thresholds bigint[] NOT NULL,          -- percents, ascending
  actor text NOT NULL,
  reason text,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX cost_budget_fact_newest ON cost_budget_fact (tenant_id, budget, decided_at, event_id);
SELECT weir_tenant_table('cost_budget_fact');

-- Derived: the instant at which what was known first reached a threshold, by the terms in force.
CREATE TABLE cost_budget_crossing (
  period_start date NOT NULL,
  known_at timestamptz NOT NULL,
  set_by uuid NOT NULL,                  -- the decision in force
  percent bigint NOT NULL,
  tenant_id text NOT NULL,
  budget text NOT NULL,
  spent numeric NOT NULL,                -- by then
  PRIMARY KEY (tenant_id, budget, period_start, percent)
);
SELECT weir_tenant_table('cost_budget_crossing', 'SELECT, INSERT, UPDATE, DELETE');

-- What writers send; see 0011.
CREATE TYPE cost_budget_fact_row AS (
  tenant_id text, event_id uuid, decided_at timestamptz, budget text, decision text, fault text, amount numeric,
  currency text, period text, scope text, scope_key text, scope_value text, cost text, enforcement text,
  thresholds bigint[], actor text, reason text, content_sha256 bytea
);

RESET ROLE;
