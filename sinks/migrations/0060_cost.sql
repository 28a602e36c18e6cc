-- Cost: charges as they became known, and what each day costs by series, as believed at any instant.
SET LOCAL ROLE weir_owner;

-- What is replaced as a whole: provider, billing account and billing period. Its row is the lock of its days.
CREATE TABLE cost_scope (
  tenant_id text NOT NULL,
  scope_key uuid NOT NULL,               -- the first half of a hash of the three
  provider text NOT NULL,
  billing_account text NOT NULL,
  billing_period date NOT NULL,          -- its first day
  replaced_at timestamptz[] NOT NULL DEFAULT '{}', -- when deliveries that replace it became known, ascending
  PRIMARY KEY (tenant_id, scope_key)
);
SELECT weir_tenant_table('cost_scope', 'SELECT, INSERT, UPDATE');

-- What charges are summed up by. Never changed; an absent text is empty.
CREATE TABLE cost_series (
  tenant_id text NOT NULL,
  series_key uuid NOT NULL,              -- the first half of a hash of all other columns but the tenant
  scope_key uuid NOT NULL,
  billing_period date NOT NULL,
  provider text NOT NULL, billing_account text NOT NULL, sub_account text NOT NULL, service text NOT NULL,
  service_category text NOT NULL, region text NOT NULL, resource text NOT NULL, charge_category text NOT NULL,
  charge_class text NOT NULL, currency text NOT NULL, sku text NOT NULL, sku_price text NOT NULL,
  consumed_unit text NOT NULL, pricing_unit text NOT NULL,
  tags jsonb NOT NULL,
  PRIMARY KEY (tenant_id, series_key)
);
CREATE INDEX cost_series_of_scope ON cost_series (tenant_id, scope_key);
CREATE INDEX cost_series_of_resource ON cost_series (tenant_id, resource);
SELECT weir_tenant_table('cost_series');

-- One row per event, never changed: a correction is a charge beside it.
CREATE TABLE cost_charge (
  known_at timestamptz NOT NULL,
  charge_period_start timestamptz NOT NULL,
  charge_period_end timestamptz NOT NULL,
  event_id uuid NOT NULL,
  series_key uuid NOT NULL,
  scope_key uuid NOT NULL,
  replaces boolean NOT NULL,
  tenant_id text NOT NULL,
  billed numeric NOT NULL, effective numeric, list numeric, contracted numeric,
  consumed_quantity numeric, pricing_quantity numeric,
  description text,
  corrects text,
  other_columns text,                    -- a JSON object; null where there is none
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX cost_charge_of_scope ON cost_charge (tenant_id, scope_key);
CREATE INDEX cost_charge_in_time ON cost_charge (tenant_id, charge_period_start, event_id);
SELECT weir_tenant_table('cost_charge');

-- Derived: what becomes known, or is taken out again, at an instant, for one day of one series. What was believed at an
-- instant is the sum up to it.
CREATE TABLE cost_daily (
  day date NOT NULL,
  known_at timestamptz NOT NULL,
  charges bigint NOT NULL,               -- of those taken out negative
  series_key uuid NOT NULL,
  tenant_id text NOT NULL,
  billed numeric NOT NULL, effective numeric NOT NULL, list numeric NOT NULL, contracted numeric NOT NULL,
  consumed_quantity numeric NOT NULL, pricing_quantity numeric NOT NULL,
  PRIMARY KEY (tenant_id, series_key, day, known_at)
) WITH (fillfactor = 80);
CREATE INDEX cost_daily_in_time ON cost_daily (tenant_id, day);
SELECT weir_tenant_table('cost_daily', 'SELECT, INSERT, UPDATE, DELETE');

-- What writers send; see 0011.
CREATE TYPE cost_scope_row AS (
  tenant_id text, scope_key uuid, provider text, billing_account text, billing_period date
);
CREATE TYPE cost_series_row AS (
  tenant_id text, series_key uuid, scope_key uuid, billing_period date, provider text, billing_account text,
  sub_account text, service text, service_category text, region text, resource text, charge_category text,
  charge_class text, currency text, sku text, sku_price text, consumed_unit text, pricing_unit text, tags jsonb
);
CREATE TYPE cost_charge_row AS (
  tenant_id text, event_id uuid, known_at timestamptz, charge_period_start timestamptz, charge_period_end timestamptz,
  series_key uuid, scope_key uuid, replaces boolean, billed numeric, effective numeric, list numeric,
  contracted numeric, consumed_quantity numeric, pricing_quantity numeric, description text, corrects text,
  other_columns text, content_sha256 bytea
);
CREATE TYPE cost_entry_row AS (
  tenant_id text, series_key uuid, day date, known_at timestamptz, charges bigint, billed numeric, effective numeric,
  list numeric, contracted numeric, consumed_quantity numeric, pricing_quantity numeric
);
CREATE TYPE cost_scope_key AS (tenant_id text, scope_key uuid);

RESET ROLE;
