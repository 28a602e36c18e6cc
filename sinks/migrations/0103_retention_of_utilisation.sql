-- Old measurements of utilisation go, and their sums by the hour with them: recommendations look at the weeks before.
SET LOCAL ROLE weir_owner;
GRANT DELETE ON cost_utilisation, cost_utilisation_hour TO weir_writer;
CREATE INDEX cost_utilisation_age ON cost_utilisation USING brin (measured_at);
CREATE INDEX cost_utilisation_hour_age ON cost_utilisation_hour USING brin (hour);
RESET ROLE;
