-- Kubernetes workloads: what pods requested and used of each node on each day, so that a node's cost is divided among them.
-- The rows are kept for as long as the charges: allocation holds for all of history.
SET LOCAL ROLE weir_owner;

-- Workloads with their labels, once for each combination of values. Never changed.
CREATE TABLE cost_workload (
  tenant_id text NOT NULL,
  workload_key uuid NOT NULL,            -- the first half of a hash of the other columns
  cluster text NOT NULL,
  namespace text NOT NULL,
  name text NOT NULL,
  project text NOT NULL,
  labels jsonb NOT NULL,
  told int NOT NULL,                     -- number of columns and labels with a value
  PRIMARY KEY (tenant_id, workload_key)
);
SELECT weir_tenant_table('cost_workload');

-- Derived: sums of measurements, which order and repeats do not change.
CREATE TABLE cost_node_day (
  day date NOT NULL,
  samples bigint NOT NULL,
  workload_key uuid NOT NULL,            -- nil for the node's own capacity
  tenant_id text NOT NULL,
  node_ref text NOT NULL,                -- weir_resource_ref() of the node's machine
  pod text NOT NULL,                     -- empty for the node's own capacity
  container text NOT NULL,               -- empty for the pod as a whole
  measure text NOT NULL,                 -- cpu_capacity, cpu_requested, cpu_used, memory_capacity, ..
  total numeric NOT NULL,                -- CPU cores, or bytes of memory
  PRIMARY KEY (tenant_id, node_ref, day, pod, container, measure, workload_key)
) WITH (fillfactor = 80);
SELECT weir_tenant_table('cost_node_day', 'SELECT, INSERT, UPDATE');

-- What writers send; see 0011.
CREATE TYPE cost_workload_row AS (
  tenant_id text, workload_key uuid, cluster text, namespace text, name text, project text, labels jsonb, told int
);
CREATE TYPE cost_node_share_row AS (
  tenant_id text, node text, day date, pod text, container text, measure text, workload_key uuid, samples bigint,
  total numeric
);

RESET ROLE;
