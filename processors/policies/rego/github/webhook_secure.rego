# METADATA
# title: Webhooks are signed and sent over TLS
# custom:
#   id: github-webhook-secure
#   severity: medium
#   remediation: "Set configuration.secret, insecure_ssl to false, and an address with https."
#   resource_types:
#     - github_repository_webhook
#     - github_organization_webhook
#   decides:
#     - configuration.url
#   controls:
#     CIS-Controls-8: ["3.10"]
#     CIS-GitHub-1.0: ["1.4.4"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.github.webhook_secure

import data.weir.lib

deny contains "the address is not https" if {
	some address in lib.values("configuration.url")
	not startswith(address, "https://")
	address != "(sensitive value)"
}

deny contains "certificates are not checked" if {
	some value in lib.values("configuration.insecure_ssl")
	lower(sprintf("%v", [value])) in {"true", "1"}
}

deny contains "deliveries are not signed" if not lib.present("configuration.secret")
