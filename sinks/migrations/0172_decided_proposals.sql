-- A decision may name the proposal that it is about, and an approval ends at a time that readers are told.
SET LOCAL ROLE weir_owner;

ALTER TABLE change_fact ADD COLUMN decided_proposal text;
ALTER TABLE change_review ADD COLUMN approved_until timestamptz;

-- The row types with the columns, in types of their own: writers of the version before go on with theirs.
CREATE TYPE change_fact_row_3 AS (
  tenant_id text, event_id uuid, change_id text, kind text, occurred_at timestamptz, actor_kind text, actor text,
  actor_name text, second_party text, resource text, project text, environment text, decision text,
  decided_proposal text, reason text, expires_at timestamptz, outcome text, outcome_code text, route text,
  score smallint, reading text, proposal jsonb, topic text, partition integer, record_offset bigint,
  content_sha256 bytea
);
CREATE TYPE change_review_row_2 AS (
  tenant_id text, change_id text, approval text, decision text, provisioning text, route text, score smallint,
  reading text, project text, environment text, requested_by text, proposal_event_id uuid, proposed_at timestamptz,
  decided_at timestamptz, approvals smallint, approvals_needed smallint, approved_until timestamptz, impossible jsonb,
  impossible_total integer, first_at timestamptz, last_at timestamptz, facts bigint
);

RESET ROLE;
