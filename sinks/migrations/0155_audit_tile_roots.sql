-- A proof of an entry needs the roots of the full tiles that the open tile above holds: up to 255 of 8 KB each, of which
-- every one was read and hashed for 32 bytes. Now a tile is stored with its root. Those that were written before have none;
-- their roots are computed as before, until the tile above is full.
SET LOCAL ROLE weir_owner;

ALTER TABLE audit_tile ADD COLUMN root bytea CHECK (length(root) = 32);

CREATE TYPE audit_full_tile AS (log text, level smallint, index bigint, hashes bytea, root bytea);

-- `audit_log_append` with tiles that have their roots. The logs move first: a batch that another writer has written must be found
-- where it begins, not by its tiles.
CREATE FUNCTION audit_log_grow(
  known_epoch bigint, moves audit_log_move[], tiles audit_full_tile[], parts audit_tile_part_row[], keys subject_key_row[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM audit_log_append(known_epoch, moves, '{}'::audit_tile_row[], parts, keys);
  IF cardinality(tiles) > 0 THEN
    INSERT INTO audit_tile (log, level, index, hashes, root) SELECT * FROM unnest(tiles);
  END IF;
  RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION
  audit_log_grow(bigint, audit_log_move[], audit_full_tile[], audit_tile_part_row[], subject_key_row[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  audit_log_grow(bigint, audit_log_move[], audit_full_tile[], audit_tile_part_row[], subject_key_row[]) TO weir_writer;

RESET ROLE;
