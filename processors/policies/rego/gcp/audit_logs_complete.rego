# METADATA
# title: Projects log access to data, of everybody
# custom:
#   id: gcp-audit-logs-complete
#   severity: medium
#   remediation: "Log ADMIN_READ, DATA_READ and DATA_WRITE of allServices without exempted members."
#   resource_types:
#     - google_project_iam_audit_config
#     - google_organization_iam_audit_config
#     - google_folder_iam_audit_config
#   controls:
#     CIS-Controls-8: ["8.2"]
#     CIS-GCP-3.0: ["2.1"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.gcp.audit_logs_complete

import data.weir.lib

deny contains "members are exempted" if count(lib.values("audit_log_config.exempted_members")) > 0

deny contains sprintf("%s is not logged", [kind]) if {
	lib.any_in("service", {"allServices"})
	some kind in {"DATA_READ", "DATA_WRITE"}
	not kind in lib.values("audit_log_config.log_type")
}
