-- The hold of a person keeps what others did to that person as well, as legal_hold_keeps has it: whoever did waits to be erased.
SET LOCAL ROLE weir_owner;

-- The legal hold that keeps a subject from being erased, in words; NULL if there is none. Few people are resources: the dictionary
-- of terms says so without a look at the entries.
CREATE OR REPLACE FUNCTION legal_hold_on(of_tenant text, of_subject text) RETURNS text
  LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
  SELECT concat_ws(' ', h.scope, h.subject, NULLIF(h.name, ''))
    FROM legal_hold AS h
   WHERE h.tenant_id = of_tenant AND h.active
     AND CASE
           WHEN h.scope = 'tenant' THEN true
           WHEN h.scope = 'person' AND h.subject = of_subject THEN true
           WHEN h.scope = 'project' THEN EXISTS (SELECT FROM audit_entry AS e WHERE e.tenant_id = of_tenant
                                                    AND e.actor = of_subject AND e.project = h.subject)
           WHEN h.scope = 'person' AND NOT EXISTS (SELECT FROM audit_term AS t WHERE t.tenant_id = of_tenant
                                                      AND t.field = 'resource' AND t.term = h.subject)
                AND NOT EXISTS (SELECT FROM audit_term_field AS f WHERE f.tenant_id = of_tenant
                                   AND f.field = 'resource' AND f.overflowed) THEN false
           ELSE EXISTS (SELECT FROM audit_entry AS e WHERE e.tenant_id = of_tenant
                           AND e.actor = of_subject AND e.resource = h.subject)
         END
   ORDER BY h.scope, h.subject, h.name LIMIT 1
$$;

RESET ROLE;
