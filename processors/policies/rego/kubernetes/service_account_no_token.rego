# METADATA
# title: Service accounts hand out no tokens by default
# custom:
#   id: kubernetes-service-account-no-token
#   severity: low
#   remediation: "Set automountServiceAccountToken to false."
#   resource_types:
#     - ServiceAccount
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-Kubernetes-1.10: ["5.1.6"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.service_account_no_token

deny contains "tokens are handed to every pod" if not input.config.automountServiceAccountToken == false
