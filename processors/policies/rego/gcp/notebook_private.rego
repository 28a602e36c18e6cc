# METADATA
# title: Notebooks have no public addresses
# custom:
#   id: gcp-notebook-private
#   severity: high
#   remediation: "Set no_public_ip (Notebooks) or gce_setup.disable_public_ip (Workbench) to true."
#   resource_types:
#     - google_notebooks_instance
#     - google_workbench_instance
#   decides:
#     - no_public_ip
#     - gce_setup.disable_public_ip
#   controls:
#     CIS-Controls-8: ["4.4", "12.2"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.notebook_private

import data.weir.lib

deny contains "the notebook has a public address" if {
	not lib.any_true("no_public_ip")
	not lib.any_true("gce_setup.disable_public_ip")
}
