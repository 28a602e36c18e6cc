-- A field that has more terms than are kept gets no new ones. A writer that has all of them in memory need not ask about
-- each that it meets, which for fields of names that are used once is every second row.
SET LOCAL ROLE weir_owner;

-- All terms of a field to which none is added any more; NULL alone while some may be. The lock waits for whoever is adding
-- terms, and has not seen that the field is full.
CREATE FUNCTION audit_terms_of_full_field(of_tenant text, of_field text) RETURNS SETOF text
  LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '200ms' AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM audit_term_field AS f
                  WHERE f.tenant_id = of_tenant AND f.field = of_field AND f.overflowed) THEN
    RETURN NEXT NULL;
    RETURN;
  END IF;
  LOCK TABLE audit_term IN SHARE MODE;
  RETURN QUERY SELECT t.term::text FROM audit_term AS t WHERE t.tenant_id = of_tenant AND t.field = of_field;
END $$;
REVOKE EXECUTE ON FUNCTION audit_terms_of_full_field(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_terms_of_full_field(text, text) TO weir_writer;

RESET ROLE;
