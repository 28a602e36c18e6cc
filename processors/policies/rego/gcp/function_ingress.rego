# METADATA
# title: Functions are reached from within
# custom:
#   id: gcp-function-ingress
#   severity: low
#   remediation: "Set ingress_settings to ALLOW_INTERNAL_ONLY."
#   resource_types:
#     - google_cloudfunctions_function
#     - google_cloudfunctions2_function
#   decides:
#     - ingress_settings
#     - service_config.ingress_settings
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.function_ingress

import data.weir.lib

deny contains "the function is reached from everywhere" if {
	not lib.any_in("ingress_settings", internal)
	not lib.any_in("service_config.ingress_settings", internal)
}

internal := {"ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"}
