-- What has accrued of some days asks only for the charges that can cover them.
SET LOCAL ROLE weir_owner;

-- Until when charges known at an instant cover the days from p_from to before p_to of resources with a life. A charge for
-- more than 400 days covers 400.
CREATE FUNCTION weir_cost_covered_days(p_tenant text, p_from date, p_to date, p_known timestamptz)
RETURNS TABLE (resource_ref text, day date, covers_until timestamptz) LANGUAGE sql STABLE AS $$
  SELECT c.resource_ref, g.day::date, date_trunc('second', max(c.covers_until))
    FROM (SELECT s.resource_ref, d.series_key, d.day, max(d.covers_until) AS covers_until
            FROM cost_resource AS r
            JOIN cost_series AS s ON s.tenant_id = r.tenant_id AND s.resource_ref = r.resource_ref
            JOIN cost_daily AS d ON d.tenant_id = s.tenant_id AND d.series_key = s.series_key
           WHERE r.tenant_id = p_tenant AND s.charge_category = 'Usage' AND d.known_at <= p_known
             AND d.day >= coalesce(p_from - 400, '-infinity') AND d.day < coalesce(p_to, 'infinity')
           GROUP BY 1, 2, 3 HAVING sum(d.charges) > 0) AS c
   CROSS JOIN LATERAL generate_series(
           greatest(c.day::timestamp, p_from::timestamp),
           least((c.covers_until AT TIME ZONE 'UTC'), p_to::timestamp, c.day + interval '400 days') - interval '1 microsecond',
           interval '1 day') AS g(day)
   GROUP BY 1, 2
$$;

CREATE OR REPLACE FUNCTION weir_cost_covered(p_tenant text, p_known timestamptz)
RETURNS TABLE (resource_ref text, day date, covers_until timestamptz) LANGUAGE sql STABLE AS $$
  SELECT * FROM weir_cost_covered_days(p_tenant, NULL, NULL, p_known)
$$;

CREATE OR REPLACE FUNCTION weir_cost_accrued(p_tenant text, p_from date, p_to date, p_known timestamptz)
RETURNS TABLE (tenant_id text, series_key uuid, day date, accrued numeric) LANGUAGE sql STABLE AS $$
  WITH covered AS MATERIALIZED (SELECT * FROM weir_cost_covered_days(p_tenant, p_from, p_to, p_known))
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

RESET ROLE;
