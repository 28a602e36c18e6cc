# METADATA
# title: ECS clusters report container insights
# custom:
#   id: aws-ecs-insights
#   severity: low
#   remediation: "Set containerInsights to enabled."
#   resource_types:
#     - aws_ecs_cluster
#   controls:
#     CIS-Controls-8: ["13.1"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(1)(ii)(D)"]
#     NIST-800-53r5: ["SI-4"]
#     PCI-DSS-4.0: ["10.4.1"]
#     SOC2: ["CC7.2", "CC7.3"]
package weir.aws.ecs_insights

import data.weir.lib

deny contains "container insights are off" if {
	found := [1 |
		some block in lib.blocks("setting")
		block.name == "containerInsights"
		block.value in {"enabled", "enhanced"}
	]
	count(found) == 0
}
