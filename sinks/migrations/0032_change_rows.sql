-- What writers of change review send; see 0011.
SET LOCAL ROLE weir_owner;

CREATE TYPE change_fact_row AS (
  tenant_id text, event_id uuid, change_id text, kind text, occurred_at timestamptz, actor_kind text, actor text,
  actor_name text, resource text, project text, environment text, decision text, reason text, expires_at timestamptz,
  outcome text, outcome_code text, route text, score smallint, reading text, proposal jsonb, topic text,
  partition integer, record_offset bigint, content_sha256 bytea
);
CREATE TYPE change_review_row AS (
  tenant_id text, change_id text, approval text, decision text, provisioning text, route text, score smallint,
  reading text, project text, environment text, requested_by text, proposal_event_id uuid, proposed_at timestamptz,
  decided_at timestamptz, approvals smallint, approvals_needed smallint, impossible jsonb, impossible_total integer,
  first_at timestamptz, last_at timestamptz, facts bigint
);
-- A change, and what a batch adds to it besides its facts.
CREATE TYPE change_news AS (tenant_id text, change_id text, first_at timestamptz, last_at timestamptz, facts bigint);

-- Reviews change with every fact: room for the next version on the same page.
ALTER TABLE change_review SET (fillfactor = 70);

RESET ROLE;
