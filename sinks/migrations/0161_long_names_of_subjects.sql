-- An actor's name may be longer than an index entry can be. Its key is stored under the hash of such a name, so that the event
-- is audited and not parked. Names that look like such a hash are hashed as well.
SET LOCAL ROLE weir_owner;

CREATE FUNCTION weir_subject_name(actor text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN octet_length(actor) <= 1024 AND NOT starts_with(actor, 'sha256:') THEN actor
              ELSE 'sha256:' || encode(sha256(convert_to(actor, 'UTF8')), 'hex') END;

UPDATE subject_key SET actor = weir_subject_name(actor) WHERE actor <> weir_subject_name(actor);

RESET ROLE;
