-- Small batches are one statement: positions and rows together. It must fail as a whole where a position did not move.
SET LOCAL ROLE weir_owner;

CREATE FUNCTION positions_must_move(moved bigint, wanted bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF moved <> wanted THEN
    RAISE EXCEPTION '% of % positions are where the batch begins', moved, wanted USING ERRCODE = 'WE001';
  END IF;
END $$;

RESET ROLE;
