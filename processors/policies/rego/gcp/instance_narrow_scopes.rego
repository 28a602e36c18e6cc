# METADATA
# title: Instances do not hold every scope
# custom:
#   id: gcp-instance-narrow-scopes
#   severity: medium
#   remediation: "Name a service account of your own with the roles that are needed."
#   resource_types:
#     - google_compute_instance
#     - google_compute_instance_template
#   decides:
#     - service_account.email
#     - service_account.scopes
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-GCP-3.0: ["4.1", "4.2"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.gcp.instance_narrow_scopes

import data.weir.lib

deny contains "the default service account holds every scope" if {
	some block in lib.blocks("service_account")
	some scope in lib.items(object.get(block, "scopes", null))
	scope in {"cloud-platform", "https://www.googleapis.com/auth/cloud-platform"}
	is_default(object.get(block, "email", null))
}

is_default(email) if is_null(email)

is_default(email) if email == ""

is_default(email) if endswith(email, "-compute@developer.gserviceaccount.com")
