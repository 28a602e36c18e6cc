# METADATA
# title: Roles are not granted to everybody
# custom:
#   id: gcp-iam-not-public
#   severity: critical
#   remediation: "Name users, groups or service accounts."
#   resource_types:
#     - google_storage_bucket_iam_member
#     - google_storage_bucket_iam_binding
#     - google_project_iam_member
#     - google_project_iam_binding
#     - google_pubsub_topic_iam_member
#     - google_pubsub_topic_iam_binding
#     - google_pubsub_subscription_iam_member
#     - google_pubsub_subscription_iam_binding
#     - google_kms_crypto_key_iam_member
#     - google_kms_crypto_key_iam_binding
#     - google_kms_key_ring_iam_member
#     - google_kms_key_ring_iam_binding
#     - google_bigquery_dataset_iam_member
#     - google_bigquery_dataset_iam_binding
#     - google_bigquery_table_iam_member
#     - google_bigquery_table_iam_binding
#     - google_secret_manager_secret_iam_member
#     - google_secret_manager_secret_iam_binding
#     - google_artifact_registry_repository_iam_member
#     - google_artifact_registry_repository_iam_binding
#     - google_organization_iam_member
#     - google_organization_iam_binding
#     - google_folder_iam_member
#     - google_folder_iam_binding
#     - google_service_account_iam_member
#     - google_service_account_iam_binding
#     - google_compute_instance_iam_member
#     - google_compute_instance_iam_binding
#     - google_spanner_database_iam_member
#     - google_spanner_database_iam_binding
#     - google_dataproc_cluster_iam_member
#     - google_dataproc_cluster_iam_binding
#     - google_storage_bucket_access_control
#     - google_storage_default_object_access_control
#     - google_storage_object_access_control
#   decides:
#     - member
#     - members
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     CIS-GCP-3.0: ["5.1"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.gcp.iam_not_public

import data.weir.lib

deny contains sprintf("%s has the role", [member]) if {
	some path in {"member", "members", "entity"}
	some member in lib.values(path)
	member in {"allUsers", "allAuthenticatedUsers"}
}
