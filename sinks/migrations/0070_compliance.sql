-- Compliance: resources as events show them with verdicts about them, and what follows: states, findings, waivers.
SET LOCAL ROLE weir_owner;

-- One row per event and resource, never changed.
CREATE TABLE compliance_observation (
  observed_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  verdicts_key uuid,                     -- null where the resource is gone or its configuration cannot be read
  record_offset bigint NOT NULL,
  partition integer NOT NULL,
  tenant_id text NOT NULL,
  resource text NOT NULL,
  presence text NOT NULL,                -- present, absent
  change_id text,                        -- of a resource in a plan: it counts from when the change is applied
  source text NOT NULL,                  -- configuration, terraform_plan, kubernetes_audit, cloudtrail, ..
  resource_type text NOT NULL,
  cloud text, account text, region text, name text, project text, environment text,
  fault text,                            -- why the configuration cannot be read; then the state stays as it was
  topic text NOT NULL,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id, resource)
);
CREATE INDEX compliance_observation_of_resource ON compliance_observation (tenant_id, resource, observed_at, event_id);
CREATE INDEX compliance_observation_of_change ON compliance_observation (tenant_id, change_id) WHERE change_id IS NOT NULL;
SELECT weir_tenant_table('compliance_observation');

-- Sets of verdicts by a hash of what they say: an observation that changes nothing writes none.
CREATE TABLE compliance_verdict (
  verdicts_key uuid NOT NULL,
  denies boolean NOT NULL,               -- whether a failure denies a change, or is only reported
  tenant_id text NOT NULL,
  policy_id text NOT NULL,
  policy_hash text NOT NULL,
  status text NOT NULL,                  -- pass, fail, not_evaluated, error
  reasons text[] NOT NULL,
  PRIMARY KEY (tenant_id, verdicts_key, policy_id)
);
SELECT weir_tenant_table('compliance_verdict');

-- Versions of policies that gave a verdict. The hash pins the rest.
CREATE TABLE compliance_policy (
  tenant_id text NOT NULL,
  policy_id text NOT NULL,
  policy_hash text NOT NULL,
  title text NOT NULL,
  severity text NOT NULL,                -- low, medium, high, critical
  remediation text NOT NULL,
  controls jsonb NOT NULL,               -- ids by framework
  PRIMARY KEY (tenant_id, policy_id, policy_hash)
);
SELECT weir_tenant_table('compliance_policy');

-- Changes that were applied: one row per event, never changed.
CREATE TABLE compliance_applied (
  applied_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  change_id text NOT NULL,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX compliance_applied_of_change ON compliance_applied (tenant_id, change_id);
SELECT weir_tenant_table('compliance_applied');

-- Every resource, once: the lock of what is derived from its observations.
CREATE TABLE compliance_resource (
  tenant_id text NOT NULL,
  resource text NOT NULL,
  PRIMARY KEY (tenant_id, resource)
);
-- The writer locks rows of it, for which Postgres asks for the right to update.
SELECT weir_tenant_table('compliance_resource', 'SELECT, INSERT, UPDATE');

-- Derived: from this instant on the resource is so, until its next row. Of two at one instant the larger event holds.
CREATE TABLE compliance_state (
  valid_from timestamptz NOT NULL,       -- when it was observed, or when the change that makes it so was applied
  event_id uuid NOT NULL,
  verdicts_key uuid,                     -- null where it is gone
  tenant_id text NOT NULL,
  resource text NOT NULL,
  resource_type text NOT NULL,
  project text,
  PRIMARY KEY (tenant_id, resource, valid_from, event_id)
);
CREATE INDEX compliance_state_of_event ON compliance_state (tenant_id, event_id);
SELECT weir_tenant_table('compliance_state', 'SELECT, INSERT, UPDATE, DELETE');

-- Derived: each time for which a policy fails for a resource.
CREATE TABLE compliance_finding (
  opened_at timestamptz NOT NULL,
  closed_at timestamptz,
  due_at timestamptz NOT NULL,           -- 7, 30, 90 or 120 days after it opened, by severity
  finding_id uuid NOT NULL,              -- the same for every time
  opened_by uuid NOT NULL,               -- events
  closed_by uuid,
  number integer NOT NULL,               -- 1 is the first time
  tenant_id text NOT NULL,
  resource text NOT NULL,
  policy_id text NOT NULL,
  policy_hash text NOT NULL,
  severity text NOT NULL,
  reasons text[] NOT NULL,
  close_reason text,                     -- passed, resource_gone, not_applicable
  resource_type text NOT NULL,
  project text,
  PRIMARY KEY (tenant_id, resource, policy_id, opened_at)
);
CREATE INDEX compliance_finding_in_time ON compliance_finding (tenant_id, opened_at, finding_id);
CREATE INDEX compliance_finding_of_id ON compliance_finding (tenant_id, finding_id, opened_at);
SELECT weir_tenant_table('compliance_finding', 'SELECT, INSERT, UPDATE, DELETE');

-- Steps in the life of waivers: one row per event, never changed.
CREATE TABLE compliance_waiver_fact (
  decided_at timestamptz NOT NULL,
  expires_at timestamptz,
  event_id uuid NOT NULL,
  tenant_id text NOT NULL,
  waiver text NOT NULL,
  step text NOT NULL,                    -- requested, granted, rejected, revoked
  actor text NOT NULL,
  second_party text,
  requested_by text,                     -- whom a grant names
  owner text,
  policies text[] NOT NULL, resources text[] NOT NULL,
  fault text,                            -- why the terms cannot be read
  reason text,
  content_sha256 bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX compliance_waiver_fact_of_waiver ON compliance_waiver_fact (tenant_id, waiver, decided_at, event_id);
SELECT weir_tenant_table('compliance_waiver_fact');

-- Derived: each waiver as its steps leave it.
CREATE TABLE compliance_waiver (
  requested_at timestamptz, granted_at timestamptz, rejected_at timestamptz, revoked_at timestamptz,
  expires_at timestamptz,                -- by its terms
  ends_at timestamptz,                   -- by its terms or by being revoked
  first_at timestamptz NOT NULL,         -- its first step
  tenant_id text NOT NULL,
  waiver text NOT NULL,
  owner text,
  requested_by text, granted_by text, rejected_by text, revoked_by text,
  reason text,
  policies text[] NOT NULL, resources text[] NOT NULL,
  ineffective jsonb NOT NULL,            -- steps that count for nothing, with their reason
  PRIMARY KEY (tenant_id, waiver)
);
SELECT weir_tenant_table('compliance_waiver', 'SELECT, INSERT, UPDATE');

-- Derived: what a granted waiver waives, one row for each policy and resource.
CREATE TABLE compliance_waived (
  valid_from timestamptz NOT NULL,
  valid_to timestamptz NOT NULL,         -- by its terms or by being revoked
  expires_at timestamptz NOT NULL,       -- by its terms
  tenant_id text NOT NULL,
  resource text NOT NULL,
  policy_id text NOT NULL,
  waiver text NOT NULL,
  PRIMARY KEY (tenant_id, resource, policy_id, waiver)
);
CREATE INDEX compliance_waived_by_waiver ON compliance_waived (tenant_id, waiver);
SELECT weir_tenant_table('compliance_waived', 'SELECT, INSERT, UPDATE, DELETE');

-- What writers send; see 0011.
CREATE TYPE compliance_observation_row AS (
  tenant_id text, event_id uuid, resource text, observed_at timestamptz, presence text, change_id text, source text,
  resource_type text, cloud text, account text, region text, name text, project text, environment text,
  verdicts_key uuid, fault text, topic text, partition integer, record_offset bigint, content_sha256 bytea
);
CREATE TYPE compliance_verdict_row AS (
  tenant_id text, verdicts_key uuid, policy_id text, policy_hash text, status text, denies boolean, reasons text[]
);
CREATE TYPE compliance_policy_row AS (
  tenant_id text, policy_id text, policy_hash text, title text, severity text, remediation text, controls jsonb
);
CREATE TYPE compliance_applied_row AS (
  tenant_id text, event_id uuid, change_id text, applied_at timestamptz, content_sha256 bytea
);
CREATE TYPE compliance_resource_key AS (tenant_id text, resource text);
CREATE TYPE compliance_state_row AS (
  tenant_id text, resource text, valid_from timestamptz, event_id uuid, verdicts_key uuid, resource_type text,
  project text
);
CREATE TYPE compliance_verdicts_key AS (tenant_id text, verdicts_key uuid);
CREATE TYPE compliance_finding_key AS (tenant_id text, resource text, policy_id text, opened_at timestamptz);
CREATE TYPE compliance_finding_row AS (
  tenant_id text, resource text, policy_id text, opened_at timestamptz, finding_id uuid, policy_hash text, severity text,
  number integer, opened_by uuid, reasons text[], due_at timestamptz, closed_at timestamptz, closed_by uuid,
  close_reason text, resource_type text, project text
);
CREATE TYPE compliance_waiver_fact_row AS (
  tenant_id text, event_id uuid, waiver text, decided_at timestamptz, step text, actor text, second_party text,
  requested_by text, owner text, policies text[], resources text[], expires_at timestamptz, fault text, reason text,
  content_sha256 bytea
);
CREATE TYPE compliance_waiver_row AS (
  tenant_id text, waiver text, owner text, policies text[], resources text[], reason text, requested_by text,
  requested_at timestamptz, granted_by text, granted_at timestamptz, rejected_by text, rejected_at timestamptz,
  revoked_by text, revoked_at timestamptz, expires_at timestamptz, ends_at timestamptz, first_at timestamptz,
  ineffective jsonb
);
CREATE TYPE compliance_waived_row AS (
  tenant_id text, resource text, policy_id text, waiver text, valid_from timestamptz, valid_to timestamptz,
  expires_at timestamptz
);

RESET ROLE;
