-- The running processes of each service, which share the rate limits of callers.
SET LOCAL ROLE weir_owner;

CREATE TABLE service_replica (
  service text NOT NULL,                 -- gateway, query-api
  replica uuid NOT NULL,                 -- made by each process when it starts
  seen_at timestamptz NOT NULL,          -- written every two seconds; a row that is older than a minute is deleted
  PRIMARY KEY (service, replica)
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE, DELETE ON service_replica TO weir_service;

RESET ROLE;
