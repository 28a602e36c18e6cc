-- The gateway paces tenants by what the stages have settled, and needs no more of a position than that.
GRANT SELECT (topic, partition, position, halted) ON stage_position TO weir_service;
