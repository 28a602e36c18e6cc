-- Accrual: what resources cost by the second since they were made, until their charges come.
SET LOCAL ROLE weir_owner;

-- By what a resource of an event and one of a bill are known to be the same. EC2's ids are unique by themselves, and bills
-- name them with and without the rest of the ARN; Azure's ids have no case; Google's have a host in front, or not.
CREATE FUNCTION weir_resource_ref(resource text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN resource ~ '^(arn:[^:]*:ec2:.*/)?[a-z]+-[0-9a-f]{8,17}$' THEN regexp_replace(resource, '^.*/', '')
    WHEN resource ~* '^/subscriptions/' THEN lower(resource)
    ELSE regexp_replace(resource, '^//[a-z0-9.-]+\.googleapis\.com/', '')
  END
$$;

ALTER TABLE cost_series ADD COLUMN resource_ref text GENERATED ALWAYS AS (weir_resource_ref(resource)) STORED;
CREATE INDEX cost_series_of_ref ON cost_series (tenant_id, resource_ref);

-- Until when the charges of an entry go, from the beginning of its day on; null where they were taken out.
ALTER TABLE cost_daily ADD COLUMN covers_until timestamptz;
ALTER TYPE cost_entry_row ADD ATTRIBUTE covers_until timestamptz;
-- The owner may look past row-level security for as long as it is not forced.
ALTER TABLE cost_daily NO FORCE ROW LEVEL SECURITY;
ALTER TABLE cost_charge NO FORCE ROW LEVEL SECURITY;
UPDATE cost_daily AS d SET covers_until = c.until
  FROM (SELECT tenant_id, series_key, (charge_period_start AT TIME ZONE 'UTC')::date AS day, known_at,
               max(charge_period_end) AS until
          FROM cost_charge GROUP BY 1, 2, 3, 4) AS c
 WHERE (d.tenant_id, d.series_key, d.day, d.known_at) = (c.tenant_id, c.series_key, c.day, c.known_at);
ALTER TABLE cost_daily FORCE ROW LEVEL SECURITY;
ALTER TABLE cost_charge FORCE ROW LEVEL SECURITY;

-- One row per event about resources that cost by the second, never changed.
CREATE TABLE cost_lifecycle (
  happened_at timestamptz NOT NULL,      -- to the second
  event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  actor text,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX cost_lifecycle_in_time ON cost_lifecycle (tenant_id, happened_at);
SELECT weir_tenant_table('cost_lifecycle');

-- What such an event says about each of its resources, never changed.
CREATE TABLE cost_lifecycle_resource (
  happened_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  series_key uuid NOT NULL,              -- the series that it accrues to
  tenant_id text NOT NULL,
  resource text NOT NULL,
  resource_ref text NOT NULL GENERATED ALWAYS AS (weir_resource_ref(resource)) STORED,
  kind text NOT NULL,                    -- provisioned, scaled, deleted
  told jsonb NOT NULL,                   -- prices, count, size, whether it runs
  actor text,
  PRIMARY KEY (tenant_id, resource_ref, event_id)
);
SELECT weir_tenant_table('cost_lifecycle_resource');

-- Derived: resources with a life. The row is the lock of its intervals.
CREATE TABLE cost_resource (
  first_at timestamptz NOT NULL DEFAULT 'infinity',
  tenant_id text NOT NULL,
  resource_ref text NOT NULL,
  resource text NOT NULL DEFAULT '',     -- as its newest event names it
  beginning_unknown boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant_id, resource_ref)
);
SELECT weir_tenant_table('cost_resource', 'SELECT, INSERT, UPDATE');

-- Derived: when a resource existed at one price.
CREATE TABLE cost_accrual (
  starts timestamptz NOT NULL,
  ends timestamptz,                      -- null: it lasts
  series_key uuid NOT NULL,
  began_by uuid NOT NULL,                -- the event that it begins with
  tenant_id text NOT NULL,
  resource_ref text NOT NULL,
  hourly numeric, monthly numeric,       -- prices for an hour and for a calendar month; null without a price
  unpriced text,                         -- why there is none
  actor text,                            -- of that event
  PRIMARY KEY (tenant_id, resource_ref, starts)
);
CREATE INDEX cost_accrual_of_series ON cost_accrual (tenant_id, series_key);
SELECT weir_tenant_table('cost_accrual', 'SELECT, INSERT, DELETE');

-- The seconds of the calendar month of a day, UTC.
CREATE FUNCTION weir_month_seconds(day date) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT ((date_trunc('month', day::timestamp) + interval '1 month')::date - date_trunc('month', day::timestamp)::date) * 86400.0
$$;

-- Until when charges known at an instant cover the days of resources with a life.
CREATE FUNCTION weir_cost_covered(p_tenant text, p_known timestamptz)
RETURNS TABLE (resource_ref text, day date, covers_until timestamptz) LANGUAGE sql STABLE AS $$
  SELECT c.resource_ref, g.day::date, date_trunc('second', max(c.covers_until))
    FROM (SELECT s.resource_ref, d.series_key, d.day, max(d.covers_until) AS covers_until
            FROM cost_resource AS r
            JOIN cost_series AS s ON s.tenant_id = r.tenant_id AND s.resource_ref = r.resource_ref
            JOIN cost_daily AS d ON d.tenant_id = s.tenant_id AND d.series_key = s.series_key
           WHERE r.tenant_id = p_tenant AND s.charge_category = 'Usage' AND d.known_at <= p_known
           GROUP BY 1, 2, 3 HAVING sum(d.charges) > 0) AS c
   CROSS JOIN LATERAL generate_series(c.day::timestamp, (c.covers_until AT TIME ZONE 'UTC') - interval '1 microsecond',
                                      interval '1 day') AS g(day)
   GROUP BY 1, 2
$$;

-- What had accrued at an instant of each day and was not billed by then, as `costs::accrual::accrue` says it.
CREATE FUNCTION weir_cost_accrued(p_tenant text, p_from date, p_to date, p_known timestamptz)
RETURNS TABLE (tenant_id text, series_key uuid, day date, accrued numeric) LANGUAGE sql STABLE AS $$
  WITH covered AS MATERIALIZED (SELECT * FROM weir_cost_covered(p_tenant, p_known))
  SELECT a.tenant_id, a.series_key, g.day::date,
         round(a.hourly * t.seconds / 3600 + a.monthly * t.seconds / weir_month_seconds(g.day::date), 10)
    FROM cost_accrual AS a
   CROSS JOIN LATERAL generate_series(
           greatest(date_trunc('day', a.starts AT TIME ZONE 'UTC'), p_from::timestamp),
           least(coalesce(a.ends, p_known) AT TIME ZONE 'UTC', p_known AT TIME ZONE 'UTC', p_to::timestamp)
             - interval '1 microsecond',
           interval '1 day') AS g(day)
    LEFT JOIN covered AS c ON c.resource_ref = a.resource_ref AND c.day = g.day::date
   CROSS JOIN LATERAL (
         SELECT floor(extract(epoch FROM least(coalesce(a.ends, p_known), p_known,
                                               (g.day + interval '1 day') AT TIME ZONE 'UTC')))
              - extract(epoch FROM greatest(a.starts, g.day AT TIME ZONE 'UTC', c.covers_until)) AS seconds) AS t
   WHERE a.tenant_id = p_tenant AND a.hourly IS NOT NULL AND t.seconds > 0
$$;

-- What writers send; see 0011.
CREATE TYPE cost_lifecycle_row AS (
  tenant_id text, event_id uuid, happened_at timestamptz, actor text, content_sha256 bytea
);
CREATE TYPE cost_lifecycle_resource_row AS (
  tenant_id text, resource text, event_id uuid, happened_at timestamptz, series_key uuid, kind text, told jsonb, actor text
);
CREATE TYPE cost_accrual_row AS (
  tenant_id text, resource_ref text, starts timestamptz, ends timestamptz, series_key uuid, began_by uuid, hourly numeric,
  monthly numeric, unpriced text, actor text
);

RESET ROLE;
