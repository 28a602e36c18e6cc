# METADATA
# title: Projects grant no primitive roles
# custom:
#   id: gcp-iam-no-primitive-roles
#   severity: high
#   remediation: "Grant predefined roles with the permissions that are needed."
#   resource_types:
#     - google_project_iam_member
#     - google_project_iam_binding
#     - google_folder_iam_member
#     - google_folder_iam_binding
#     - google_organization_iam_member
#     - google_organization_iam_binding
#   decides:
#     - role
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-GCP-3.0: ["1.5"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.gcp.iam_no_primitive_roles

import data.weir.lib

deny contains "a primitive role is granted" if lib.any_in("role", {"roles/owner", "roles/editor"})
