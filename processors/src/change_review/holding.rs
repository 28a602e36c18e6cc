//! What a type of resource holds: what would be lost with it. Types of the AWS, Azure, Google, Kubernetes and a few
//! other Terraform providers, by name or by how names begin.

/// What would be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holding {
    /// Data that is nowhere else, or the key without which it cannot be read.
    Data,
    /// State that is hard to make again: disks, queues, secrets, clusters.
    State,
    /// Reachability.
    Network,
    /// Who may do what.
    Identity,
    /// Work that can be started again.
    Compute,
    /// Nothing of these, or unknown.
    Other,
}

/// What a resource of that type holds; of several matches the longest counts.
pub(super) fn holding(kind: &str) -> Holding {
    let lists = [
        (Holding::Data, DATA),
        (Holding::State, STATE),
        (Holding::Network, NETWORK),
        (Holding::Identity, IDENTITY),
        (Holding::Compute, COMPUTE),
    ];
    let matches = lists.into_iter().flat_map(|(holding, patterns)| {
        patterns.iter().filter(|pattern| fits(kind, pattern)).map(move |pattern| (pattern.len(), holding))
    });
    // Grants on whatever a Google resource is are named after it.
    let granted = kind.starts_with("google_") && kind.contains("_iam_");
    match matches.reduce(|best, other| if other.0 > best.0 { other } else { best }) {
        _ if granted => Holding::Identity,
        Some((_, holding)) => holding,
        None if kind.ends_with("_database") => Holding::Data,
        None => Holding::Other,
    }
}

/// Whether a type is a pattern's: whole, or its beginning where the pattern ends in `*`.
fn fits(kind: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(kind == pattern, |beginning| kind.starts_with(beginning))
}

const DATA: &[&str] = &[
    "aws_backup_vault",
    "aws_cognito_user_pool",
    "aws_db_instance",
    "aws_docdb_cluster",
    "aws_docdbelastic_cluster",
    "aws_dynamodb_global_table",
    "aws_dynamodb_table",
    "aws_efs_file_system",
    "aws_elasticsearch_domain",
    "aws_fsx_*",
    "aws_glacier_vault",
    "aws_keyspaces_*",
    "aws_kms_key",
    "aws_kms_replica_key",
    "aws_lightsail_database",
    "aws_memorydb_cluster",
    "aws_neptune_cluster",
    "aws_opensearch_domain",
    "aws_opensearchserverless_collection",
    "aws_qldb_ledger",
    "aws_rds_cluster",
    "aws_rds_global_cluster",
    "aws_redshift_cluster",
    "aws_redshiftserverless_namespace",
    "aws_s3_bucket",
    "aws_s3_directory_bucket",
    "aws_timestreamwrite_*",
    "azurerm_cosmosdb_*",
    "azurerm_key_vault",
    "azurerm_key_vault_key",
    "azurerm_kusto_cluster",
    "azurerm_kusto_database",
    "azurerm_mariadb_database",
    "azurerm_mariadb_server",
    "azurerm_mssql_database",
    "azurerm_mssql_managed_*",
    "azurerm_mssql_server",
    "azurerm_mysql_database",
    "azurerm_mysql_flexible_database",
    "azurerm_mysql_flexible_server",
    "azurerm_mysql_server",
    "azurerm_netapp_volume",
    "azurerm_postgresql_database",
    "azurerm_postgresql_flexible_server",
    "azurerm_postgresql_flexible_server_database",
    "azurerm_postgresql_server",
    "azurerm_recovery_services_vault",
    "azurerm_sql_database",
    "azurerm_sql_server",
    "azurerm_storage_account",
    "azurerm_storage_container",
    "azurerm_storage_data_lake_*",
    "azurerm_storage_share",
    "azurerm_storage_table",
    "azurerm_synapse_sql_pool",
    "azurerm_synapse_workspace",
    "google_alloydb_cluster",
    "google_alloydb_instance",
    "google_bigquery_dataset",
    "google_bigquery_table",
    "google_bigtable_instance",
    "google_bigtable_table",
    "google_filestore_instance",
    "google_firestore_database",
    "google_kms_crypto_key",
    "google_kms_crypto_key_version",
    "google_spanner_database",
    "google_spanner_instance",
    "google_sql_database",
    "google_sql_database_instance",
    "google_storage_bucket",
    "mongodbatlas_cluster",
    "mongodbatlas_advanced_cluster",
    "snowflake_schema",
    "snowflake_table",
];

const STATE: &[&str] = &[
    "aws_cloudwatch_log_group",
    "aws_db_snapshot*",
    "aws_ebs_snapshot*",
    "aws_ebs_volume",
    "aws_ecr_repository",
    "aws_eks_cluster",
    "aws_elasticache_cluster",
    "aws_elasticache_replication_group",
    "aws_elasticache_serverless_cache",
    "aws_kinesis_stream",
    "aws_mq_broker",
    "aws_msk_cluster",
    "aws_msk_serverless_cluster",
    "aws_rds_cluster_instance",
    "aws_s3_object",
    "aws_secretsmanager_secret",
    "aws_sns_topic",
    "aws_sqs_queue",
    "aws_ssm_parameter",
    "azurerm_container_registry",
    "azurerm_eventhub",
    "azurerm_eventhub_namespace",
    "azurerm_key_vault_certificate",
    "azurerm_key_vault_secret",
    "azurerm_kubernetes_cluster",
    "azurerm_log_analytics_workspace",
    "azurerm_managed_disk",
    "azurerm_redis_cache",
    "azurerm_resource_group",
    "azurerm_servicebus_*",
    "azurerm_snapshot",
    "azurerm_storage_blob",
    "azurerm_storage_queue",
    "confluent_kafka_*",
    "google_artifact_registry_repository",
    "google_compute_disk",
    "google_compute_region_disk",
    "google_compute_snapshot",
    "google_container_cluster",
    "google_kms_key_ring",
    "google_logging_project_bucket_config",
    "google_memcache_instance",
    "google_project",
    "google_pubsub_subscription",
    "google_pubsub_topic",
    "google_redis_cluster",
    "google_redis_instance",
    "google_secret_manager_secret*",
    "kubernetes_config_map*",
    "kubernetes_namespace*",
    "kubernetes_persistent_volume*",
    "kubernetes_secret*",
    "kubernetes_stateful_set*",
];

const NETWORK: &[&str] = &[
    "aws_acm_certificate*",
    "aws_alb*",
    "aws_api_gateway_*",
    "aws_apigatewayv2_*",
    "aws_cloudfront_*",
    "aws_customer_gateway",
    "aws_default_*",
    "aws_dx_*",
    "aws_ec2_transit_gateway*",
    "aws_egress_only_internet_gateway",
    "aws_eip*",
    "aws_elb*",
    "aws_globalaccelerator_*",
    "aws_internet_gateway*",
    "aws_lb*",
    "aws_nat_gateway",
    "aws_network_acl*",
    "aws_networkfirewall_*",
    "aws_route*",
    "aws_security_group*",
    "aws_subnet*",
    "aws_vpc*",
    "aws_vpn_*",
    "aws_waf*",
    "azurerm_application_gateway",
    "azurerm_bastion_host",
    "azurerm_cdn_*",
    "azurerm_dns_*",
    "azurerm_express_route_*",
    "azurerm_firewall*",
    "azurerm_frontdoor*",
    "azurerm_lb*",
    "azurerm_local_network_gateway",
    "azurerm_nat_gateway*",
    "azurerm_network_*",
    "azurerm_private_*",
    "azurerm_public_ip*",
    "azurerm_route*",
    "azurerm_subnet*",
    "azurerm_traffic_manager_*",
    "azurerm_virtual_hub*",
    "azurerm_virtual_network*",
    "azurerm_virtual_wan",
    "azurerm_vpn_*",
    "cloudflare_*",
    "google_compute_address",
    "google_compute_backend_*",
    "google_compute_external_vpn_gateway",
    "google_compute_firewall*",
    "google_compute_forwarding_rule",
    "google_compute_global_*",
    "google_compute_ha_vpn_gateway",
    "google_compute_interconnect_*",
    "google_compute_managed_ssl_certificate",
    "google_compute_network*",
    "google_compute_region_backend_service",
    "google_compute_route*",
    "google_compute_security_policy",
    "google_compute_shared_vpc_*",
    "google_compute_ssl_*",
    "google_compute_subnetwork*",
    "google_compute_target_*",
    "google_compute_url_map",
    "google_compute_vpn_*",
    "google_dns_*",
    "kubernetes_ingress*",
    "kubernetes_network_policy*",
    "kubernetes_service",
    "kubernetes_service_v1",
];

const IDENTITY: &[&str] = &[
    "auth0_*",
    "aws_ecr_repository_policy",
    "aws_iam_*",
    "aws_identitystore_*",
    "aws_kms_grant",
    "aws_kms_key_policy",
    "aws_lambda_permission",
    "aws_organizations_policy*",
    "aws_s3_access_point_policy",
    "aws_s3_bucket_policy",
    "aws_secretsmanager_secret_policy",
    "aws_sns_topic_policy",
    "aws_sqs_queue_policy",
    "aws_ssoadmin_*",
    "azuread_*",
    "azurerm_federated_identity_credential",
    "azurerm_key_vault_access_policy",
    "azurerm_pim_*",
    "azurerm_role_*",
    "azurerm_user_assigned_identity",
    "github_membership",
    "github_repository_collaborator*",
    "github_team*",
    "google_organization_policy",
    "google_service_account*",
    "kubernetes_cluster_role*",
    "kubernetes_role*",
    "kubernetes_service_account*",
    "okta_*",
    "vault_policy",
];

const COMPUTE: &[&str] = &[
    "aws_autoscaling_*",
    "aws_batch_*",
    "aws_ecs_*",
    "aws_eks_addon",
    "aws_eks_fargate_profile",
    "aws_eks_node_group",
    "aws_elastic_beanstalk_*",
    "aws_emr_cluster",
    "aws_instance",
    "aws_lambda_*",
    "aws_launch_*",
    "aws_sfn_*",
    "aws_spot_*",
    "azurerm_app_service*",
    "azurerm_container_app*",
    "azurerm_container_group",
    "azurerm_function_app*",
    "azurerm_kubernetes_cluster_node_pool",
    "azurerm_linux_*",
    "azurerm_logic_app_*",
    "azurerm_orchestrated_virtual_machine_scale_set",
    "azurerm_service_plan",
    "azurerm_virtual_machine*",
    "azurerm_windows_*",
    "google_app_engine_*",
    "google_cloud_run*",
    "google_cloudfunctions*",
    "google_compute_autoscaler",
    "google_compute_instance*",
    "google_compute_region_instance_*",
    "google_container_node_pool",
    "google_dataproc_cluster",
    "helm_release",
    "kubernetes_cron_job*",
    "kubernetes_daemon*",
    "kubernetes_deployment*",
    "kubernetes_horizontal_pod_autoscaler*",
    "kubernetes_job*",
    "kubernetes_pod*",
    "kubernetes_replication_controller*",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: Holding, kinds: &[&str]) {
        for kind in kinds {
            assert_eq!(holding(kind), expected, "{kind}");
        }
    }

    #[test]
    fn types_of_all_providers_are_told_apart() {
        check(Holding::Data, &["aws_db_instance", "azurerm_mssql_database", "google_sql_database_instance"]);
        check(Holding::Data, &["aws_fsx_lustre_file_system", "somebody_elses_database"]);
        check(Holding::State, &["aws_ebs_volume", "kubernetes_persistent_volume_claim_v1", "aws_sqs_queue"]);
        check(
            Holding::Network,
            &["aws_vpc", "google_compute_firewall", "kubernetes_service", "aws_route53_record"],
        );
        check(Holding::Identity, &["aws_iam_role", "aws_sqs_queue_policy", "kubernetes_service_account"]);
        check(Holding::Identity, &["google_storage_bucket_iam_member", "azurerm_role_assignment"]);
        check(Holding::Compute, &["aws_instance", "azurerm_linux_web_app", "kubernetes_deployment_v1"]);
        check(
            Holding::Other,
            &["aws_db_subnet_group", "random_id", "aws_s3_bucket_versioning", "null_resource", ""],
        );
    }
}
