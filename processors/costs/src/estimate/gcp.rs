//! Google Cloud: resource types of the Terraform providers `google` and `google-beta`.

use rust_decimal::Decimal;

use super::{
    measure::{Answer, Bill, Measured, by_use},
    side::{Side, Unpriced},
};

/// The bill of a resource; `None` for types without a rule.
pub(super) fn measure(kind: &str, config: &Side<'_>) -> Answer {
    Some(match kind {
        "google_compute_instance" => instance(config),
        "google_compute_disk" | "google_compute_region_disk" => disk(kind, config),
        "google_sql_database_instance" => database(config),
        "google_container_cluster" => cluster(config),
        "google_container_node_pool" => node_pool(config),
        "google_redis_instance" => redis(config),
        "google_bigtable_instance" => bigtable(config),
        "google_spanner_instance" => spanner(config),
        "google_compute_address" | "google_compute_global_address" => address(config),
        "google_compute_forwarding_rule" | "google_compute_global_forwarding_rule" => {
            Ok(Bill::of("forwarding_rule", "standard").besides("processed data").into())
        }
        "google_compute_vpn_tunnel" => Ok(Bill::of("vpn_tunnel", "standard").besides("transfer").into()),
        "google_kms_crypto_key" => key(config),
        "google_dns_managed_zone" => Ok(Bill::of("dns_zone", "managed").besides("queries").into()),
        "google_storage_bucket" => by_use("stored data and requests"),
        "google_compute_router_nat" => by_use("connected machines and processed data"),
        "google_pubsub_topic" | "google_pubsub_subscription" => by_use("published data"),
        "google_bigquery_dataset" | "google_bigquery_table" => by_use("stored and scanned data"),
        "google_cloud_run_service" | "google_cloud_run_v2_service" => by_use("requests and duration"),
        "google_cloudfunctions_function" | "google_cloudfunctions2_function" => {
            by_use("requests and duration")
        }
        "google_artifact_registry_repository" => by_use("stored data"),
        "google_secret_manager_secret" => by_use("versions and accesses"),
        "google_compute_instance_group_manager" | "google_compute_region_instance_group_manager" => {
            Err("the machine type is in its instance template".to_owned())
        }
        _ => return None,
    })
}

fn instance(config: &Side<'_>) -> Result<Measured, Unpriced> {
    if config.flag("scheduling/0/preemptible")?
        || config.text("scheduling/0/provisioning_model")?.is_some_and(|model| model == "SPOT")
    {
        return Err("the price list has no spot prices".to_owned());
    }
    if config.count("guest_accelerator")? > 0 {
        return Err("the price list has no accelerators".to_owned());
    }
    let mut bill = Bill::of("instance", config.required("machine_type")?).assuming("Linux, no discounts");
    let boot = "boot_disk/0/initialize_params/0/";
    let kind = config.text(&format!("{boot}type"))?.unwrap_or("pd-standard");
    let size = bill.number_or(config, &format!("{boot}size"), 10)?;
    Ok(bill.and("disk", kind, size).into())
}

fn disk(kind: &str, config: &Side<'_>) -> Result<Measured, Unpriced> {
    let mut bill = Bill::default();
    let class = config.text("type")?.unwrap_or("pd-standard");
    let size = bill.number_or(config, "size", if class == "pd-ssd" { 100 } else { 500 })?;
    // A regional disk is kept in two zones.
    let copies = if kind == "google_compute_region_disk" { Decimal::TWO } else { Decimal::ONE };
    Ok(bill.and("disk", class, size).times(copies)?.into())
}

fn database(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let tier = config.required("settings/0/tier")?;
    let mut bill = match tier.strip_prefix("db-custom-") {
        Some(custom) => {
            let (cpus, megabytes) = custom.split_once('-').ok_or("settings.tier is no tier")?;
            let number =
                |text: &str| Decimal::from_str_exact(text).map_err(|_| "settings.tier is no tier".to_owned());
            Bill::default().and("sql_vcpu", "custom", number(cpus)?).and(
                "sql_memory",
                "custom",
                number(megabytes)? / Decimal::from(1_024),
            )
        }
        None => Bill::of("sql_instance", tier),
    };
    let kind = config.text("settings/0/disk_type")?.unwrap_or("PD_SSD");
    let size = bill.number_or(config, "settings/0/disk_size", 10)?;
    bill = bill.and("sql_storage", kind, size);
    if config.text("settings/0/availability_type")? == Some("REGIONAL") {
        bill = bill.times(Decimal::TWO)?;
    }
    Ok(bill.besides("backups").into())
}

fn cluster(config: &Side<'_>) -> Result<Measured, Unpriced> {
    if config.flag("enable_autopilot")? {
        return by_use("requested resources of pods");
    }
    let mut bill = Bill::of("kubernetes_cluster", "standard");
    if !config.flag("remove_default_node_pool")? {
        let nodes = bill.number_or(config, "initial_node_count", 0)?;
        if !nodes.is_zero() {
            bill = pool(bill, config, nodes)?;
        }
    }
    Ok(bill.into())
}

fn node_pool(config: &Side<'_>) -> Result<Measured, Unpriced> {
    if config.flag("node_config/0/spot")? || config.flag("node_config/0/preemptible")? {
        return Err("the price list has no spot prices".to_owned());
    }
    let nodes = match config.number("node_count")? {
        Some(nodes) => nodes,
        None => config.number("initial_node_count")?.ok_or("node_count is missing")?,
    };
    Ok(pool(Bill::default(), config, nodes)?.into())
}

/// Nodes of a pool; a regional pool has that many in each of its zones.
fn pool(mut bill: Bill, config: &Side<'_>, nodes: Decimal) -> Result<Bill, Unpriced> {
    let kind = config.text("node_config/0/machine_type")?;
    let disk = bill.number_or(config, "node_config/0/disk_size_gb", 100)?;
    let class = config.text("node_config/0/disk_type")?.unwrap_or("pd-standard");
    if kind.is_none() {
        bill = bill.assuming("e2-medium, the provider's default");
    }
    let zones = match config.count("node_locations")? {
        0 if config.known_text("location").is_some_and(is_region) => {
            bill = bill.assuming("a regional pool has its nodes in three zones");
            3
        }
        0 => 1,
        zones => zones,
    };
    let all = nodes.checked_mul(Decimal::from(zones)).ok_or("the quantity is too large")?;
    let disks = disk.checked_mul(all).ok_or("the quantity is too large")?;
    Ok(bill.and("instance", kind.unwrap_or("e2-medium"), all).and("disk", class, disks))
}

/// Whether the location is a region: regions end in a digit (`europe-west1`), zones in a letter
/// (`europe-west1-b`).
fn is_region(location: &str) -> bool {
    location.ends_with(|last: char| last.is_ascii_digit())
}

fn redis(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let tier = config.text("tier")?.unwrap_or("BASIC");
    let size = config.number("memory_size_gb")?.ok_or("memory_size_gb is missing")?;
    Ok(Bill::default().and("redis", tier, size).into())
}

fn bigtable(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let mut bill = Bill::default();
    for at in 0..config.count("cluster")? {
        let nodes = bill.number_or(config, &format!("cluster/{at}/num_nodes"), 1)?;
        bill = bill.and("bigtable_node", "standard", nodes);
    }
    if bill.parts.is_empty() {
        return Err("its cluster is not in the plan".to_owned());
    }
    Ok(bill.besides("stored data").into())
}

fn spanner(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let nodes = match (config.number("num_nodes")?, config.number("processing_units")?) {
        (Some(nodes), _) => nodes,
        (None, Some(units)) => units / Decimal::from(1_000),
        (None, None) => Decimal::ONE,
    };
    Ok(Bill::of("spanner_node", "standard").times(nodes)?.besides("stored data").into())
}

fn address(config: &Side<'_>) -> Result<Measured, Unpriced> {
    if config.text("address_type")? == Some("INTERNAL") {
        return Ok(Measured::Free);
    }
    Ok(Bill::of("external_ip", "standard").assuming("in use all month").into())
}

fn key(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let hsm = config.text("version_template/0/protection_level")? == Some("HSM");
    Ok(Bill::of("encryption_key", if hsm { "hsm" } else { "software" })
        .assuming("one active version")
        .besides("operations")
        .into())
}
