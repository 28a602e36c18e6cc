-- Old audit entries go, and what went is known: of each log the indices that retention removed, signed by the log's key.
SET LOCAL ROLE weir_owner;

-- 65,536 indices a row: a bit for each that was removed, the lowest bit of the first byte first, and a signed note of the
-- bits' hash.
CREATE TABLE audit_retired (
  log text NOT NULL,
  chunk bigint NOT NULL,
  indices bytea NOT NULL CHECK (length(indices) = 8192),
  note text NOT NULL,
  retired_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (log, chunk)
);
GRANT SELECT, INSERT, UPDATE ON audit_retired TO weir_writer;
GRANT SELECT ON audit_retired TO weir_reader, weir_operator;

-- Entries may lose their personal part once their actor is being erased, and nothing else of them may change; retention
-- removes whole entries and what identified their events.
CREATE OR REPLACE FUNCTION audit_entry_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_user = 'weir_owner' THEN
    -- Rows move out of the default partition into their own.
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_entry_default'
       AND current_setting('weir.moving_rows', true) = 'on' THEN
      RETURN OLD;
    END IF;
    IF TG_OP = 'DELETE' AND current_setting('weir.retiring', true) = 'on' THEN
      RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME <> 'audit_event' AND current_setting('weir.erasing', true) = 'on' THEN
      IF OLD.personal_digest IS NULL AND length(NEW.personal_digest) = 32
         AND (OLD.occurred_at, OLD.event_id, OLD.tenant_id, OLD.topic, OLD.partition, OLD.record_offset, OLD.kind,
              OLD.source, OLD.content_sha256)
           = (NEW.occurred_at, NEW.event_id, NEW.tenant_id, NEW.topic, NEW.partition, NEW.record_offset, NEW.kind,
              NEW.source, NEW.content_sha256)
         AND (OLD.log_index, OLD.leaf_hash) IS NOT DISTINCT FROM (NEW.log_index, NEW.leaf_hash)
         AND EXISTS (SELECT FROM erasure_progress AS p
                      WHERE p.tenant_id = OLD.tenant_id AND p.subject = OLD.actor AND p.began_at IS NOT NULL) THEN
        RETURN NEW;
      END IF;
    END IF;
  END IF;
  RAISE EXCEPTION 'audit entries are never changed: % on %', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE POLICY owner ON legal_hold FOR SELECT TO weir_owner USING (true);

-- Whether a legal hold keeps an entry.
CREATE FUNCTION legal_hold_keeps(of_tenant text, its_actor text, its_resource text, its_project text) RETURNS boolean
  LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
  SELECT EXISTS (
    SELECT FROM legal_hold AS h
     WHERE h.tenant_id = of_tenant AND h.active
       AND CASE h.scope
             WHEN 'tenant' THEN true
             WHEN 'person' THEN h.subject = its_actor OR h.subject = its_resource
             WHEN 'project' THEN h.subject = its_project
             ELSE h.subject = its_resource
           END)
$$;

-- How the last round of whoever removes old entries went.
CREATE TABLE retention_round (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  completed_at timestamptz NOT NULL,
  overdue_groups bigint NOT NULL         -- groups of entries that should have gone two days ago
);
GRANT SELECT, INSERT, UPDATE ON retention_round TO weir_writer;
GRANT SELECT ON retention_round TO weir_reader, weir_operator, grafana_reader;

-- A partition's entries of one tenant, class and log, which go together once the newest has arrived long enough ago.
CREATE TYPE audit_entry_group AS (tenant_id text, class_uid integer, topic text, partition integer, newest bigint);

-- The groups of a partition; and its size in blocks.
CREATE FUNCTION audit_entry_groups(part text)
  RETURNS TABLE (tenant_id text, class_uid integer, topic text, partition integer, newest bigint, oldest bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF audit_entry_is_attached(part) THEN
    RETURN QUERY EXECUTE format(
      'SELECT e.tenant_id, e.class_uid, e.topic, e.partition, max(e.log_index), min(e.log_index) FROM %I AS e
        GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4', part);
  END IF;
END $$;
CREATE FUNCTION audit_entry_blocks(part text) RETURNS bigint
  LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
  SELECT pg_relation_size(to_regclass(quote_ident(part))) / current_setting('block_size')::bigint
$$;

-- Removes entries of these groups that lie in a slice of a partition's blocks, and what identified their events, but for
-- those under a legal hold. Answers which went; an entry that was written before there was a log has no index.
CREATE FUNCTION audit_entry_retire(part text, first_block bigint, next_block bigint, due audit_entry_group[])
  RETURNS TABLE (topic text, partition integer, log_index bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF NOT audit_entry_is_attached(part) THEN
    RETURN;
  END IF;
  PERFORM set_config('weir.retiring', 'on', true);
  RETURN QUERY EXECUTE format(
    'WITH gone AS (
       DELETE FROM %1$I AS e USING unnest($1) AS d
        WHERE e.ctid >= $2 AND e.ctid < $3
          AND e.tenant_id = d.tenant_id AND e.class_uid = d.class_uid AND e.topic = d.topic AND e.partition = d.partition
          AND (e.log_index IS NULL OR e.log_index <= d.newest)
          AND NOT legal_hold_keeps(e.tenant_id, e.actor, e.resource, e.project)
       RETURNING e.tenant_id, e.event_id, e.occurred_at, e.topic, e.partition, e.log_index),
     events AS (
       DELETE FROM audit_event AS v USING gone AS g
        WHERE v.tenant_id = g.tenant_id AND v.event_id = g.event_id AND v.occurred_at = g.occurred_at)
     SELECT g.topic, g.partition, g.log_index FROM gone AS g', part)
    USING due, format('(%s,0)', first_block)::tid, format('(%s,0)', next_block)::tid;
  PERFORM set_config('weir.retiring', 'off', true);
END $$;

-- Drops a partition that is over and empty, and forgets the days of its terms: true if it did. Fails where a lock is not to
-- be had at once.
CREATE FUNCTION audit_entry_drop_empty(part text, before date) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '200ms' AS $$
DECLARE
  digits text := substr(part, length('audit_entry_') + 1);
  first date;
  next date;
  is_empty boolean;
BEGIN
  IF digits ~ '^\d{4}_\d\d$' THEN
    first := to_date(digits, 'YYYY_MM');
    next := (first + interval '1 month')::date;
  ELSIF digits ~ '^\d{4}$' THEN
    first := to_date(digits, 'YYYY');
    next := (first + interval '1 year')::date;
  END IF;
  IF first IS NULL OR next > before OR NOT audit_entry_is_attached(part) THEN
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('audit_entry_make_month'));
  EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', part);
  EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', part) INTO is_empty;
  -- Rows of its days may lie in the default partition, and wait for a move.
  IF NOT is_empty OR EXISTS (SELECT FROM audit_entry_default
                              WHERE occurred_at >= (first || ' 00:00:00+00')::timestamptz
                                AND occurred_at < (next || ' 00:00:00+00')::timestamptz) THEN
    RETURN false;
  END IF;
  -- Writers remember which terms and keys are there.
  PERFORM audit_next_epoch();
  UPDATE audit_term SET days = days - datemultirange(daterange(first, next)) WHERE days && daterange(first, next);
  WITH unheld AS (DELETE FROM audit_term WHERE isempty(days) RETURNING tenant_id, field, term)
  DELETE FROM subject_key AS k USING unheld AS u
   WHERE u.field = 'actor' AND k.tenant_id = u.tenant_id AND k.actor = u.term;
  UPDATE audit_term_field AS f
     SET terms = (SELECT count(*) FROM audit_term AS t WHERE t.tenant_id = f.tenant_id AND t.field = f.field);
  EXECUTE format('DROP TABLE %I', part);
  RETURN true;
END $$;

-- An operator says where a new sink begins.
GRANT INSERT ON stage_position TO weir_operator;
GRANT DELETE ON parked_record, risk_unusable, risk_correlation_event TO weir_writer;
REVOKE EXECUTE ON FUNCTION
  legal_hold_keeps(text, text, text, text), audit_entry_drop_empty(text, date), audit_entry_groups(text),
  audit_entry_blocks(text), audit_entry_retire(text, bigint, bigint, audit_entry_group[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  legal_hold_keeps(text, text, text, text), audit_entry_drop_empty(text, date), audit_entry_groups(text),
  audit_entry_blocks(text), audit_entry_retire(text, bigint, bigint, audit_entry_group[]) TO weir_writer;

RESET ROLE;
