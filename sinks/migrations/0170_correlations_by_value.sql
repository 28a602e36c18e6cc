-- Sliding correlations whose condition is not met. Few of the events before new ones decide it: the latest of each rule and value,
-- and of rules in order the chains that began last. They were found by reading the whole timespan with every batch; now an index
-- steps from one to the next.
SET LOCAL ROLE weir_owner;

CREATE FUNCTION weir_correlation_hour(instant timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN date_bin('1 hour', instant, '2000-01-01 00:00:00+00');

-- Each event is in one of the two. Their conditions keep them from serving statements that look for a group and nothing else. Values
-- lie by the hour, because a group may have had any number of them in the time for which events are kept.
CREATE INDEX risk_correlation_event_reference ON risk_correlation_event
  (tenant_id, rule_id, group_key, reference, occurred_at) WHERE value = '';
CREATE INDEX risk_correlation_event_value ON risk_correlation_event
  (tenant_id, rule_id, group_key, weir_correlation_hour(occurred_at), reference, value, occurred_at) WHERE value <> '';

-- In both functions, each step takes the next entry of one of the two indexes. Their order has to be asked for, and sorting is off:
-- the index of groups would read whole groups, and looks as cheap while groups are small on average.

-- The latest event of each rule and value of a group between two instants, neither included. Of a value there is one for each hour.
CREATE FUNCTION weir_correlation_latest(of_tenant text, of_rule text, of_group text, since timestamptz, before timestamptz)
  RETURNS TABLE (occurred_at timestamptz, event_id uuid, reference text, value text, rule_key bigint)
  LANGUAGE plpgsql STABLE SET enable_sort = off SET enable_bitmapscan = off SET enable_seqscan = off AS $$
DECLARE
  at_hour timestamptz := weir_correlation_hour(since);
  at_reference text := '';
  at_value text := '';
  past timestamptz := '-infinity';
BEGIN
  LOOP
    SELECT e.reference INTO at_reference FROM risk_correlation_event AS e
     WHERE e.tenant_id = of_tenant AND e.rule_id = of_rule AND e.group_key = of_group AND e.value = ''
       AND (e.reference, e.occurred_at) > (at_reference, past)
     ORDER BY e.reference, e.occurred_at LIMIT 1;
    EXIT WHEN NOT FOUND;
    RETURN QUERY
    SELECT latest.* FROM (
      SELECT e.occurred_at, e.event_id, e.reference, e.value, e.rule_key FROM risk_correlation_event AS e
       WHERE e.tenant_id = of_tenant AND e.rule_id = of_rule AND e.group_key = of_group AND e.value = ''
         AND (e.reference, e.occurred_at) < (at_reference, before)
       ORDER BY e.reference DESC, e.occurred_at DESC LIMIT 1) AS latest
     WHERE latest.reference = at_reference AND latest.occurred_at > since;
    past := 'infinity';
  END LOOP;
  at_reference := '';
  LOOP
    SELECT weir_correlation_hour(e.occurred_at), e.reference, e.value INTO at_hour, at_reference, at_value
      FROM risk_correlation_event AS e
     WHERE e.tenant_id = of_tenant AND e.rule_id = of_rule AND e.group_key = of_group AND e.value <> ''
       AND (weir_correlation_hour(e.occurred_at), e.reference, e.value) > (at_hour, at_reference, at_value)
       AND weir_correlation_hour(e.occurred_at) <= weir_correlation_hour(before)
     ORDER BY weir_correlation_hour(e.occurred_at), e.reference, e.value LIMIT 1;
    EXIT WHEN NOT FOUND;
    RETURN QUERY
    SELECT latest.* FROM (
      SELECT e.occurred_at, e.event_id, e.reference, e.value, e.rule_key FROM risk_correlation_event AS e
       WHERE e.tenant_id = of_tenant AND e.rule_id = of_rule AND e.group_key = of_group AND e.value <> ''
         AND (weir_correlation_hour(e.occurred_at), e.reference, e.value, e.occurred_at)
             < (at_hour, at_reference, at_value, before)
       ORDER BY weir_correlation_hour(e.occurred_at) DESC, e.reference DESC, e.value DESC, e.occurred_at DESC LIMIT 1) AS latest
     WHERE weir_correlation_hour(latest.occurred_at) = at_hour AND latest.reference = at_reference
       AND latest.value = at_value AND latest.occurred_at > since;
  END LOOP;
END $$;

-- For a list of rules: for each of them, the chain of a group's events between two instants, neither included, that ends with an
-- event of that rule, has one of each rule before it, each no later than the next, and began last. Events that another version of
-- the correlation counted by value lie in the other index: while there are any, all events are read.
CREATE FUNCTION weir_correlation_chains(
  of_tenant text, of_rule text, of_group text, since timestamptz, before timestamptz, rules jsonb
)
  RETURNS TABLE (occurred_at timestamptz, event_id uuid, reference text, value text, rule_key bigint)
  LANGUAGE plpgsql STABLE SET enable_sort = off SET enable_bitmapscan = off SET enable_seqscan = off AS $$
DECLARE
  until timestamptz;
BEGIN
  PERFORM FROM risk_correlation_event AS e
    WHERE e.tenant_id = of_tenant AND e.rule_id = of_rule AND e.group_key = of_group AND e.value <> ''
      AND weir_correlation_hour(e.occurred_at) >= weir_correlation_hour(since)
      AND weir_correlation_hour(e.occurred_at) <= weir_correlation_hour(before)
    ORDER BY weir_correlation_hour(e.occurred_at), e.reference LIMIT 1;
  IF FOUND THEN
    RETURN QUERY
    SELECT e.occurred_at, e.event_id, e.reference, e.value, e.rule_key FROM risk_correlation_event AS e
     WHERE e.tenant_id = of_tenant AND e.rule_id = of_rule AND e.group_key = of_group
       AND e.occurred_at > since AND e.occurred_at < before;
    RETURN;
  END IF;
  FOR last_step IN 0..jsonb_array_length(rules) - 1 LOOP
    until := before - interval '1 microsecond';
    FOR step IN REVERSE last_step..0 LOOP
      SELECT latest.* INTO occurred_at, event_id, reference, value, rule_key FROM (
        SELECT e.occurred_at, e.event_id, e.reference, e.value, e.rule_key FROM risk_correlation_event AS e
         WHERE e.tenant_id = of_tenant AND e.rule_id = of_rule AND e.group_key = of_group AND e.value = ''
           AND (e.reference, e.occurred_at) <= (rules ->> step, until)
         ORDER BY e.reference DESC, e.occurred_at DESC LIMIT 1) AS latest
       WHERE latest.reference = rules ->> step AND latest.occurred_at > since;
      EXIT WHEN NOT FOUND;
      RETURN NEXT;
      until := occurred_at;
    END LOOP;
  END LOOP;
END $$;

RESET ROLE;
