-- Change review: facts about proposed changes, and the state that follows from all facts of a change.
SET LOCAL ROLE weir_owner;

-- One row per event, never changed.
CREATE TABLE change_fact (
  tenant_id text NOT NULL,
  event_id uuid NOT NULL,
  change_id text NOT NULL,
  kind text NOT NULL,                    -- the event's kind: ChangeProposed, ApprovalDecided, Provisioned, ..
  occurred_at timestamptz NOT NULL,
  actor_kind text, actor text, actor_name text,
  resource text,
  project text, environment text,
  decision text, reason text, expires_at timestamptz,
  outcome text NOT NULL, outcome_code text,
  route text, score smallint CHECK (score BETWEEN 0 AND 100),
  reading text,                          -- how much of the plan could be read
  proposal jsonb,                        -- of a proposal: plan summary and factors
  topic text NOT NULL, partition integer NOT NULL, record_offset bigint NOT NULL,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
);
-- A change's facts of one kind, in their order.
CREATE INDEX change_fact_of_change ON change_fact (tenant_id, change_id, kind, occurred_at, event_id);

-- Derived: a function of the facts above and of nothing else.
CREATE TABLE change_review (
  tenant_id text NOT NULL,
  change_id text NOT NULL,
  approval text NOT NULL DEFAULT 'not_requested',
  decision text,
  provisioning text NOT NULL DEFAULT 'not_requested',
  route text, score smallint,            -- of the proposal that stands
  reading text,
  project text, environment text,
  requested_by text,
  proposal_event_id uuid,
  proposed_at timestamptz, decided_at timestamptz,
  approvals smallint NOT NULL DEFAULT 0, approvals_needed smallint NOT NULL DEFAULT 0,
  impossible jsonb NOT NULL DEFAULT '[]', -- transitions that cannot be, with their reason; the first 100
  impossible_total integer NOT NULL DEFAULT 0,
  first_at timestamptz NOT NULL, last_at timestamptz NOT NULL,
  facts bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, change_id)
);
-- Pages, newest first.
CREATE INDEX change_review_newest ON change_review (tenant_id, last_at, change_id);

ALTER TABLE change_fact ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON change_fact FOR SELECT TO weir_reader, grafana_reader
  USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), ''));
CREATE POLICY all_tenants ON change_fact TO weir_writer USING (true) WITH CHECK (true);

ALTER TABLE change_review ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON change_review FOR SELECT TO weir_reader, grafana_reader
  USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), ''));
CREATE POLICY all_tenants ON change_review TO weir_writer USING (true) WITH CHECK (true);

GRANT SELECT, INSERT ON change_fact TO weir_writer;
GRANT SELECT, INSERT, UPDATE ON change_review TO weir_writer;
GRANT SELECT ON change_fact, change_review TO weir_reader, grafana_reader;

RESET ROLE;
