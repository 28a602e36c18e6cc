-- An erasure removes what correlations count of the person.
SET LOCAL ROLE weir_owner;
GRANT DELETE ON risk_correlation_group, risk_correlation_report TO weir_writer;
RESET ROLE;
