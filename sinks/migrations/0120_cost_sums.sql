-- Charges are narrow, and most questions about costs are answered by sums of days.
SET LOCAL ROLE weir_owner;

-- Columns that charges of a delivery have in common, once for each combination of their values. Never changed.
CREATE TABLE cost_columns (
  tenant_id text NOT NULL,
  columns_key uuid NOT NULL,             -- the first half of a hash of the columns
  columns text NOT NULL,                 -- a JSON object
  PRIMARY KEY (tenant_id, columns_key)
);
SELECT weir_tenant_table('cost_columns');
ALTER TABLE cost_charge ADD COLUMN columns_key uuid; -- null where it has none of them

-- Charges of a scope are looked for after a replacement only, and stand together, since bills come as files: a summary of
-- blocks finds them, and costs a charge nothing.
DROP INDEX cost_charge_of_scope;
CREATE INDEX cost_charge_of_scope ON cost_charge USING brin (scope_key uuid_minmax_multi_ops)
  WITH (pages_per_range = 32, autosummarize = on);

-- The series that a series is summed up in: the same without resource, SKU, units and tags.
ALTER TABLE cost_series ADD COLUMN group_key uuid;

-- As `projections::cost` computes keys: the first half of a SHA-256 over the parts, each after its length.
CREATE FUNCTION weir_cost_group_key(scope_key uuid, texts text[]) RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT encode(set_byte(set_byte(b, 6, (get_byte(b, 6) & 15) | 128), 8, (get_byte(b, 8) & 63) | 128), 'hex')::uuid
    FROM (SELECT substr(sha256(int8send(16) || uuid_send(scope_key) || string_agg(int8send(octet_length(t)) ||
                 convert_to(t, 'UTF8'), '' ORDER BY nth)), 1, 16) AS b
            FROM unnest(texts) WITH ORDINALITY AS a(t, nth)) AS h
$$;
ALTER TABLE cost_series NO FORCE ROW LEVEL SECURITY;
ALTER TABLE cost_daily NO FORCE ROW LEVEL SECURITY;
UPDATE cost_series SET group_key = weir_cost_group_key(scope_key, ARRAY[sub_account, service, service_category, region, '',
         charge_category, charge_class, currency, '', '', '', '']);
INSERT INTO cost_series (tenant_id, series_key, scope_key, billing_period, provider, billing_account, sub_account, service,
                         service_category, region, resource, charge_category, charge_class, currency, sku, sku_price,
                         consumed_unit, pricing_unit, tags, group_key)
SELECT DISTINCT ON (tenant_id, group_key) tenant_id, group_key, scope_key, billing_period, provider, billing_account,
       sub_account, service, service_category, region, '', charge_category, charge_class, currency, '', '', '', '', '{}'::jsonb,
       group_key
  FROM cost_series ORDER BY tenant_id, group_key
ON CONFLICT DO NOTHING;
ALTER TABLE cost_series ALTER COLUMN group_key SET NOT NULL;

-- Derived: the days of a series, by month. Sums have no trailing zeros, so that any order of entries gives the same bytes.
CREATE TABLE cost_monthly (
  day date NOT NULL,                     -- the first of the month
  known_at timestamptz NOT NULL,
  charges bigint NOT NULL,
  series_key uuid NOT NULL,
  tenant_id text NOT NULL,
  billed numeric NOT NULL, effective numeric NOT NULL, list numeric NOT NULL, contracted numeric NOT NULL,
  consumed_quantity numeric NOT NULL, pricing_quantity numeric NOT NULL,
  PRIMARY KEY (tenant_id, series_key, day, known_at)
) WITH (fillfactor = 60);
SELECT weir_tenant_table('cost_monthly', 'SELECT, INSERT, UPDATE, DELETE');

-- Derived: the days of all series of a group.
CREATE TABLE cost_daily_group (
  day date NOT NULL,
  known_at timestamptz NOT NULL,
  charges bigint NOT NULL,
  series_key uuid NOT NULL,              -- the group's series
  tenant_id text NOT NULL,
  billed numeric NOT NULL, effective numeric NOT NULL, list numeric NOT NULL, contracted numeric NOT NULL,
  consumed_quantity numeric NOT NULL, pricing_quantity numeric NOT NULL,
  PRIMARY KEY (tenant_id, series_key, day, known_at)
) WITH (fillfactor = 60);
CREATE INDEX cost_daily_group_in_time ON cost_daily_group (tenant_id, day);
SELECT weir_tenant_table('cost_daily_group', 'SELECT, INSERT, UPDATE, DELETE');

ALTER TABLE cost_monthly NO FORCE ROW LEVEL SECURITY;
ALTER TABLE cost_daily_group NO FORCE ROW LEVEL SECURITY;
UPDATE cost_daily SET billed = trim_scale(billed), effective = trim_scale(effective), list = trim_scale(list),
       contracted = trim_scale(contracted), consumed_quantity = trim_scale(consumed_quantity),
       pricing_quantity = trim_scale(pricing_quantity);
INSERT INTO cost_monthly (tenant_id, series_key, day, known_at, charges, billed, effective, list, contracted,
                          consumed_quantity, pricing_quantity)
SELECT tenant_id, series_key, date_trunc('month', day::timestamp)::date, known_at, sum(charges), trim_scale(sum(billed)),
       trim_scale(sum(effective)), trim_scale(sum(list)), trim_scale(sum(contracted)), trim_scale(sum(consumed_quantity)),
       trim_scale(sum(pricing_quantity))
  FROM cost_daily GROUP BY 1, 2, 3, 4;
INSERT INTO cost_daily_group (tenant_id, series_key, day, known_at, charges, billed, effective, list, contracted,
                              consumed_quantity, pricing_quantity)
SELECT d.tenant_id, s.group_key, d.day, d.known_at, sum(d.charges), trim_scale(sum(d.billed)), trim_scale(sum(d.effective)),
       trim_scale(sum(d.list)), trim_scale(sum(d.contracted)), trim_scale(sum(d.consumed_quantity)),
       trim_scale(sum(d.pricing_quantity))
  FROM cost_daily AS d JOIN cost_series AS s USING (tenant_id, series_key) GROUP BY 1, 2, 3, 4;
ALTER TABLE cost_series FORCE ROW LEVEL SECURITY;
ALTER TABLE cost_daily FORCE ROW LEVEL SECURITY;
ALTER TABLE cost_monthly FORCE ROW LEVEL SECURITY;
ALTER TABLE cost_daily_group FORCE ROW LEVEL SECURITY;

-- What writers send; see 0011.
ALTER TYPE cost_series_row ADD ATTRIBUTE group_key uuid;
ALTER TYPE cost_charge_row ADD ATTRIBUTE columns_key uuid;
CREATE TYPE cost_columns_row AS (tenant_id text, columns_key uuid, columns text);

RESET ROLE;
