-- What an erasure renames in the tables of cost and of compliance.
SET LOCAL ROLE weir_owner;
GRANT UPDATE (actor) ON cost_lifecycle, cost_lifecycle_resource, cost_accrual, cost_allocation_fact TO weir_writer;
GRANT UPDATE (actor, second_party, requested_by, owner) ON compliance_waiver_fact TO weir_writer;
GRANT UPDATE (owner, requested_by, granted_by, rejected_by, revoked_by) ON compliance_waiver TO weir_writer;
RESET ROLE;
