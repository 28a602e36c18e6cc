//! Resource types that providers do not charge for: settings, permissions, associations, networks, and types
//! that exist in the state alone. Data transfer through them is billed elsewhere.

/// Free types, sorted; a pattern that ends in `*` matches every type with that prefix.
const FREE: &[&str] = &[
    "archive_file",
    "aws_ami_launch_permission",
    "aws_app_cookie_stickiness_policy",
    "aws_appautoscaling_policy",
    "aws_appautoscaling_target",
    "aws_autoscaling_attachment",
    "aws_autoscaling_policy",
    "aws_autoscaling_schedule",
    "aws_cloudwatch_event_rule",
    "aws_cloudwatch_event_target",
    "aws_customer_gateway",
    "aws_db_option_group",
    "aws_db_parameter_group",
    "aws_db_subnet_group",
    "aws_default_*",
    "aws_ecr_lifecycle_policy",
    "aws_ecr_repository_policy",
    "aws_ecs_cluster",
    "aws_ecs_task_definition",
    "aws_efs_access_point",
    "aws_efs_mount_target",
    "aws_egress_only_internet_gateway",
    "aws_eip_association",
    "aws_elasticache_parameter_group",
    "aws_elasticache_subnet_group",
    "aws_iam_*",
    "aws_internet_gateway",
    "aws_key_pair",
    "aws_kms_alias",
    "aws_lambda_alias",
    "aws_lambda_event_source_mapping",
    "aws_lambda_permission",
    "aws_launch_configuration",
    "aws_launch_template",
    "aws_lb_listener*",
    "aws_lb_target_group*",
    "aws_main_route_table_association",
    "aws_network_acl*",
    "aws_network_interface*",
    "aws_placement_group",
    "aws_rds_cluster_parameter_group",
    "aws_route",
    "aws_route53_record",
    "aws_route_table*",
    "aws_s3_account_public_access_block",
    "aws_s3_bucket_*",
    "aws_secretsmanager_secret_*",
    "aws_security_group*",
    "aws_sns_topic_policy",
    "aws_sns_topic_subscription",
    "aws_sqs_queue_policy",
    "aws_ssm_parameter",
    "aws_subnet",
    "aws_volume_attachment",
    "aws_vpc",
    "aws_vpc_dhcp_options*",
    "aws_vpc_endpoint_*",
    "aws_vpc_ipv4_cidr_block_association",
    "aws_vpc_peering_connection*",
    "aws_vpc_security_group_*",
    "azuread_*",
    "azurerm_availability_set",
    "azurerm_lb_*",
    "azurerm_management_lock",
    "azurerm_monitor_diagnostic_setting",
    "azurerm_network_ddos_custom_policy",
    "azurerm_network_interface*",
    "azurerm_network_security_*",
    "azurerm_network_watcher",
    "azurerm_policy_*",
    "azurerm_resource_group",
    "azurerm_role_*",
    "azurerm_route",
    "azurerm_route_table",
    "azurerm_subnet*",
    "azurerm_user_assigned_identity",
    "azurerm_virtual_machine_data_disk_attachment",
    "azurerm_virtual_network",
    "cloudinit_config",
    "google_billing_*",
    "google_compute_attached_disk",
    "google_compute_backend_service",
    "google_compute_firewall*",
    "google_compute_health_check",
    "google_compute_http_health_check",
    "google_compute_instance_group",
    "google_compute_instance_template",
    "google_compute_managed_ssl_certificate",
    "google_compute_network*",
    "google_compute_project_metadata*",
    "google_compute_route",
    "google_compute_router",
    "google_compute_subnetwork*",
    "google_compute_target_*",
    "google_compute_url_map",
    "google_folder*",
    "google_kms_key_ring*",
    "google_organization_*",
    "google_project*",
    "google_service_account*",
    "google_sql_database",
    "google_sql_user",
    "helm_release",
    "kubernetes_cluster_role*",
    "kubernetes_config_map*",
    "kubernetes_deployment*",
    "kubernetes_namespace*",
    "kubernetes_network_policy*",
    "kubernetes_role*",
    "kubernetes_secret*",
    "kubernetes_service_account*",
    "local_*",
    "null_resource",
    "random_*",
    "template_*",
    "terraform_data",
    "time_*",
    "tls_*",
];

/// Whether resources of that type are free.
pub(super) fn is_free(kind: &str) -> bool {
    // Grants on whatever a Google resource is are named after it.
    (kind.starts_with("google_") && kind.contains("_iam_"))
        || FREE.iter().any(|pattern| {
            pattern.strip_suffix('*').map_or(kind == *pattern, |beginning| kind.starts_with(beginning))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_free_and_things_that_run_are_not() {
        for kind in [
            "aws_iam_role",
            "aws_s3_bucket_policy",
            "azurerm_resource_group",
            "google_storage_bucket_iam_member",
        ] {
            assert!(is_free(kind), "{kind}");
        }
        for kind in [
            "aws_instance",
            "aws_s3_bucket",
            "aws_vpc_endpoint",
            "google_sql_database_instance",
            "acme_widget",
            "",
        ] {
            assert!(!is_free(kind), "{kind}");
        }
        assert!(FREE.is_sorted(), "sorted");
    }
}
