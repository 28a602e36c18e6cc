-- A request names the credential through which a person asked, and a decision the person for whom a credential decided:
-- neither may approve what either asked for.
SET LOCAL ROLE weir_owner;

ALTER TABLE change_fact ADD COLUMN second_party text;

-- change_fact_row with the column, in a type of its own: writers of the version before go on with theirs.
CREATE TYPE change_fact_row_2 AS (
  tenant_id text, event_id uuid, change_id text, kind text, occurred_at timestamptz, actor_kind text, actor text,
  actor_name text, second_party text, resource text, project text, environment text, decision text, reason text,
  expires_at timestamptz, outcome text, outcome_code text, route text, score smallint, reading text, proposal jsonb,
  topic text, partition integer, record_offset bigint, content_sha256 bytea
);

RESET ROLE;
