-- Values that a principal never had before: what `first_seen` rules follow from.
--
-- No row is written for an event: of each group and value the first sight is kept, of the first 256 values of a group. What
-- is kept, and which values are reported, follows from the set of events and not from the order in which they came.
SET LOCAL ROLE weir_owner;

CREATE TABLE risk_first_seen_group (
  tenant_id text NOT NULL,
  rule_id text NOT NULL,
  group_key text NOT NULL,               -- values of the group-by fields
  last_day integer NOT NULL,             -- of its newest event, in days since 1970: one that is quiet for long is forgotten
  PRIMARY KEY (tenant_id, rule_id, group_key)
) WITH (fillfactor = 70);
SELECT weir_tenant_table('risk_first_seen_group', 'SELECT, INSERT, UPDATE, DELETE');

CREATE TABLE risk_first_seen (
  first_at timestamptz NOT NULL,
  event_id uuid NOT NULL,                -- the event that shows the value first
  rule_key bigint NOT NULL,              -- the version of the rule that saw it
  reported boolean NOT NULL,             -- whether it is a signal
  tenant_id text NOT NULL,
  rule_id text NOT NULL,
  group_key text NOT NULL,
  value text NOT NULL,
  signal text NOT NULL,                  -- what the event becomes if the value is reported
  content_sha256 bytea NOT NULL,         -- the event's
  PRIMARY KEY (tenant_id, rule_id, group_key, value)
);
SELECT weir_tenant_table('risk_first_seen', 'SELECT, INSERT, UPDATE, DELETE');

-- What writers send; see 0011.
CREATE TYPE risk_first_seen_group_row AS (tenant_id text, rule_id text, group_key text, last_day integer);
CREATE TYPE risk_first_seen_row AS (
  tenant_id text, rule_id text, group_key text, value text, first_at timestamptz, event_id uuid, rule_key bigint,
  reported boolean, signal text, content_sha256 bytea
);
CREATE TYPE risk_first_seen_key AS (tenant_id text, rule_id text, group_key text, value text);

RESET ROLE;
