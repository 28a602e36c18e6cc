//! Loss that deleting a type of resource causes: data, state, reachability, permissions.
//!
//! Types of widely used providers are listed by name ([`types`]). A type in no list is classified by the
//! words of its name ([`mod@by_words`]), and is [`Holding::Unknown`] if these are unknown, which needs
//! review.

mod by_words;
mod types;

use by_words::{by_words, words_of};

/// Kind of loss if a resource is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holding {
    /// Data without a copy elsewhere, or the key without which it cannot be read.
    Data,
    /// State that is hard to recreate: disks, queues, secrets, clusters.
    State,
    /// Reachability.
    Network,
    /// Permissions and identities.
    Identity,
    /// Work that can be restarted.
    Compute,
    /// None of these: settings, associations, and values that the configuration recreates.
    Other,
    /// Unknown.
    Unknown,
}

/// Kind of loss for a resource of that type; of several listed matches the longest counts.
pub(super) fn holding(kind: &str) -> Holding {
    // Grants on whatever a Google resource is are named after it.
    if kind.starts_with("google_") && kind.contains("_iam_") {
        return Holding::Identity;
    }
    let lists = [
        (Holding::Data, types::DATA),
        (Holding::State, types::STATE),
        (Holding::Network, types::NETWORK),
        (Holding::Identity, types::IDENTITY),
        (Holding::Compute, types::COMPUTE),
        (Holding::Other, types::OTHER),
    ];
    let matches = lists.into_iter().flat_map(|(holding, patterns)| {
        patterns.iter().filter(|pattern| fits(kind, pattern)).map(move |pattern| (pattern.len(), holding))
    });
    match matches.reduce(|best, other| if other.0 > best.0 { other } else { best }) {
        Some((_, holding)) => holding,
        None => by_words(&words_of(kind)),
    }
}

/// Whether a type matches a pattern: as a whole, or its beginning if the pattern ends in `*`.
fn fits(kind: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(kind == pattern, |beginning| kind.starts_with(beginning))
}

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
            &[
                "aws_db_subnet_group",
                "random_id",
                "aws_s3_bucket_versioning",
                "null_resource",
                "terraform_data",
                "",
            ],
        );
    }

    #[test]
    fn types_that_no_list_names_are_told_by_their_words() {
        check(
            Holding::Data,
            &[
                "awscc_rds_db_instance",
                "awscc_dynamodb_table",
                "awscc_s3_bucket",
                "awscc_docdb_db_cluster",
                "ibm_database",
                "ibm_cos_bucket",
                "yandex_mdb_postgresql_cluster",
                "scaleway_rdb_instance",
                "ovh_cloud_project_database",
                "oci_database_autonomous_database",
                "oci_mysql_mysql_db_system",
                "oci_nosql_table",
                "alicloud_gpdb_instance_sql",
                "tencentcloud_mysql_instance",
                "huaweicloud_dds_mongodb_cluster",
                "azapi_cosmos_account",
                "postgresql_database",
                "openstack_db_instance_v1",
                "minio_s3_bucket",
                "linode_object_storage_bucket",
                "vultr_database",
                "civo_database",
                "planetscale_database",
                "upstash_vector_index",
                "nutanix_volume_group_storage",
                "elasticstack_elasticsearch_index",
            ],
        );
        check(
            Holding::State,
            &[
                "hcloud_volume",
                "linode_volume",
                "upstash_kafka_topic",
                "upstash_redis",
                "exoscale_sks_cluster",
            ],
        );
        check(Holding::Identity, &["aiven_pg_user", "vultr_user", "ibm_iam_access_group", "awscc_iam_role"]);
        check(
            Holding::Network,
            &["digitalocean_database_firewall", "awscc_ec2_security_group", "vultr_firewall_rule"],
        );
        check(Holding::Compute, &["awscc_ec2_instance", "linode_instance", "scaleway_instance_server"]);
        check(Holding::Other, &["digitalocean_database_connection_pool", "sentry_project_alert"]);
        check(Holding::Unknown, &["acme_frobnicator", "kubernetes_manifest", "somecloud_widget"]);
    }

    #[test]
    fn lists_are_sorted_and_name_a_type_once() {
        let lists =
            [types::DATA, types::STATE, types::NETWORK, types::IDENTITY, types::COMPUTE, types::OTHER];
        for list in lists {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{list:?}");
        }
        let mut all: Vec<&str> = lists.concat();
        let named = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), named, "a type in two lists");
    }
}
