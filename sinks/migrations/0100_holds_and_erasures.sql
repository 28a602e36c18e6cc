-- Legal holds and erasures: what was decided, and how far erasures are.
SET LOCAL ROLE weir_owner;

-- One row per decision, never changed.
CREATE TABLE retention_decision (
  tenant_id text NOT NULL,
  event_id uuid NOT NULL,
  kind text NOT NULL,                    -- HoldPlaced, HoldReleased, SubjectErased
  scope text NOT NULL CHECK (scope IN ('person', 'project', 'resource', 'tenant')),
  subject text NOT NULL,
  name text NOT NULL,                    -- of the hold: a subject may be under several
  decided_at timestamptz NOT NULL,
  actor text NOT NULL,
  reason text,
  topic text NOT NULL, partition integer NOT NULL, record_offset bigint NOT NULL,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
);
SELECT weir_tenant_table('retention_decision');

-- The newest placing and the newest release of each hold; the newer of the two counts.
CREATE TABLE legal_hold (
  tenant_id text NOT NULL,
  scope text NOT NULL,
  subject text NOT NULL,
  name text NOT NULL,
  placed_at timestamptz, placed_event uuid, placed_by text, placed_for text,
  released_at timestamptz, released_event uuid, released_by text, released_for text,
  active boolean NOT NULL GENERATED ALWAYS AS (
    placed_at IS NOT NULL
    AND (released_at IS NULL OR (placed_at, placed_event) > (released_at, released_event))) STORED,
  PRIMARY KEY (tenant_id, scope, subject, name)
);
SELECT weir_tenant_table('legal_hold', 'SELECT, INSERT, UPDATE');

-- The first request to erase each subject.
CREATE TABLE erasure (
  tenant_id text NOT NULL,
  subject text NOT NULL,
  requested_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  requested_by text NOT NULL,
  reason text,
  PRIMARY KEY (tenant_id, subject)
);
SELECT weir_tenant_table('erasure', 'SELECT, INSERT, UPDATE');

-- How far each erasure is. From `began_at` on the subject is remembered as erased, for ever: its key is never stored again,
-- and its events become entries without their personal part.
CREATE TABLE erasure_progress (
  tenant_id text NOT NULL,
  subject text NOT NULL,
  waits_for text,                        -- the legal hold that it waits for
  entries bigint NOT NULL DEFAULT 0,     -- audit entries erased
  other_rows bigint NOT NULL DEFAULT 0,  -- rows of other tables erased or made nameless
  problem text CHECK (length(problem) <= 2048),
  began_at timestamptz,
  done_at timestamptz,
  PRIMARY KEY (tenant_id, subject)
);
SELECT weir_tenant_table('erasure_progress', 'SELECT, INSERT, UPDATE');
CREATE POLICY owner ON erasure_progress FOR SELECT TO weir_owner USING (true);
CREATE INDEX erasure_not_done ON erasure_progress (tenant_id, subject) WHERE done_at IS NULL;

-- Grows when a subject is erased or terms leave the dictionary: what writers remember of both is then no longer so.
CREATE TABLE audit_epoch (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  epoch bigint NOT NULL
);
INSERT INTO audit_epoch (epoch) VALUES (0);
GRANT SELECT, UPDATE ON audit_epoch TO weir_writer;

CREATE TYPE subject_name AS (tenant_id text, subject text);
CREATE TYPE retention_decision_row AS (
  tenant_id text, event_id uuid, kind text, scope text, subject text, name text, decided_at timestamptz, actor text,
  reason text, topic text, partition integer, record_offset bigint, content_sha256 bytea
);

-- What writers of the log send; see 0011.
CREATE TYPE audit_entry_row AS (
  occurred_at timestamptz, record_offset bigint, event_id uuid, log_index bigint, partition integer, class_uid integer,
  activity_id integer, severity_id integer, record_dictionary smallint, topic text, tenant_id text, kind text,
  actor_kind text, actor text, actor_name text, actor_ip text, action text, resource_type text, resource text,
  project text, outcome text, outcome_code text, source text, correlation_id text, content_sha256 bytea,
  leaf_hash bytea, record bytea, personal_digest bytea
);

-- As audit_log_advance, for a writer that knows which subjects were erased up to an epoch: WE002 if there is a newer one.
-- The lock is shared among writers; who changes the epoch waits for those that have not committed.
CREATE FUNCTION audit_log_append(
  known_epoch bigint, moves audit_log_move[], tiles audit_tile_row[], parts audit_tile_part_row[], keys subject_key_row[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtext('audit_epoch'));
  IF (SELECT epoch FROM audit_epoch) <> known_epoch THEN
    RAISE EXCEPTION 'subjects were erased since epoch %', known_epoch USING ERRCODE = 'WE002';
  END IF;
  RETURN audit_log_advance(moves, tiles, parts, keys);
END $$;

-- Waits for all writers that have not committed, and lets none of them go on with what it remembers.
CREATE FUNCTION audit_next_epoch() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  newest bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('audit_epoch'));
  UPDATE audit_epoch SET epoch = epoch + 1 RETURNING epoch INTO newest;
  RETURN newest;
END $$;

-- Entries may lose their personal part once their actor is being erased, and nothing else of them may change.
CREATE OR REPLACE FUNCTION audit_entry_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_user = 'weir_owner' THEN
    -- Rows move out of the default partition into their own.
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_entry_default'
       AND current_setting('weir.moving_rows', true) = 'on' THEN
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

-- What an entry of an erased subject becomes.
CREATE TYPE audit_erased_row AS (
  tenant_id text, occurred_at timestamptz, event_id uuid, record_dictionary smallint, record bytea, personal_digest bytea,
  actor text, actor_name text, actor_ip text, action text, resource_type text, resource text, project text
);
CREATE FUNCTION audit_entry_erase(given audit_erased_row[]) RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  erased bigint;
BEGIN
  PERFORM set_config('weir.erasing', 'on', true);
  UPDATE audit_entry AS e
     SET record_dictionary = g.record_dictionary, record = g.record, personal_digest = g.personal_digest,
         actor = g.actor, actor_name = g.actor_name, actor_ip = g.actor_ip, action = g.action,
         resource_type = g.resource_type, resource = g.resource, project = g.project
    FROM unnest(given) AS g
   WHERE e.tenant_id = g.tenant_id AND e.occurred_at = g.occurred_at AND e.event_id = g.event_id
     AND e.personal_digest IS NULL;
  GET DIAGNOSTICS erased = ROW_COUNT;
  PERFORM set_config('weir.erasing', 'off', true);
  RETURN erased;
END $$;

-- The legal hold that keeps a subject from being erased, in words; NULL if there is none.
CREATE FUNCTION legal_hold_on(of_tenant text, of_subject text) RETURNS text
  LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
  SELECT concat_ws(' ', h.scope, h.subject, NULLIF(h.name, ''))
    FROM legal_hold AS h
   WHERE h.tenant_id = of_tenant AND h.active
     AND CASE h.scope
           WHEN 'tenant' THEN true
           WHEN 'person' THEN h.subject = of_subject
           WHEN 'project' THEN EXISTS (SELECT FROM audit_entry AS e WHERE e.tenant_id = of_tenant
                                          AND e.actor = of_subject AND e.project = h.subject)
           ELSE EXISTS (SELECT FROM audit_entry AS e WHERE e.tenant_id = of_tenant
                           AND e.actor = of_subject AND e.resource = h.subject)
         END
   ORDER BY h.scope, h.subject, h.name LIMIT 1
$$;

GRANT DELETE ON subject_key TO weir_writer;
-- The other tables that name people.
GRANT DELETE ON risk_weight, risk_triage TO weir_writer;
GRANT UPDATE (actor, matched) ON risk_signal TO weir_writer;
GRANT UPDATE (actor, actor_name, second_party) ON change_fact TO weir_writer;
GRANT UPDATE (actor) ON risk_weight, risk_triage, cost_budget_fact TO weir_writer;

REVOKE EXECUTE ON FUNCTION
  audit_log_append(bigint, audit_log_move[], audit_tile_row[], audit_tile_part_row[], subject_key_row[]),
  audit_next_epoch(), audit_entry_erase(audit_erased_row[]), legal_hold_on(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  audit_log_append(bigint, audit_log_move[], audit_tile_row[], audit_tile_part_row[], subject_key_row[]),
  audit_next_epoch(), audit_entry_erase(audit_erased_row[]), legal_hold_on(text, text) TO weir_writer;
GRANT EXECUTE ON FUNCTION legal_hold_on(text, text) TO weir_reader;

RESET ROLE;
