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

/// Size of a local SSD in GB.
const LOCAL_SSD_GB: u32 = 375;

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
    bill = bill.and("disk", kind, size);
    for at in 0..config.count("scratch_disk")? {
        let size = config.number(&format!("scratch_disk/{at}/size"))?;
        bill = bill.and("disk", "local-ssd", size.unwrap_or_else(|| LOCAL_SSD_GB.into()));
    }
    Ok(bill.into())
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
    // An existing cluster shows the pools that are resources of their own as well.
    let pools = if config.sets("node_pool") { config.count("node_pool")? } else { 0 };
    for at in 0..pools {
        bill = pool(bill, config, &format!("node_pool/{at}/"))?;
    }
    // Pools of its own take the place of the default pool.
    let has_default_pool = pools == 0 && !config.flag("remove_default_node_pool")?;
    if has_default_pool && config.number("initial_node_count")?.is_some_and(|nodes| !nodes.is_zero()) {
        bill = pool(bill, config, "")?;
    }
    Ok(bill.into())
}

fn node_pool(config: &Side<'_>) -> Result<Measured, Unpriced> {
    Ok(pool(Bill::default(), config, "")?.into())
}

/// Nodes of a pool at that path; a regional pool has that many in each of its zones.
fn pool(mut bill: Bill, config: &Side<'_>, at: &str) -> Result<Bill, Unpriced> {
    let path = |name: &str| format!("{at}{name}");
    let node = |name: &str| format!("{at}node_config/0/{name}");
    if config.flag(&node("spot"))? || config.flag(&node("preemptible"))? {
        return Err("the price list has no spot prices".to_owned());
    }
    if config.count(&node("guest_accelerator"))? > 0 {
        return Err("the price list has no accelerators".to_owned());
    }
    let nodes = match config.number(&path("node_count"))? {
        Some(nodes) => nodes,
        None => config.number(&path("initial_node_count"))?.ok_or_else(|| {
            format!("{}node_count is missing", if at.is_empty() { "" } else { "node_pool." })
        })?,
    };
    let kind = config.text(&node("machine_type"))?;
    let disk = bill.number_or(config, &node("disk_size_gb"), 100)?;
    let class = config.text(&node("disk_type"))?.unwrap_or("pd-standard");
    if kind.is_none() {
        config.says_default_of(&node("machine_type"));
        bill = bill.assuming("e2-medium, the provider's default");
    }
    let local_ssd_counts =
        [node("local_ssd_count"), node("ephemeral_storage_local_ssd_config/0/local_ssd_count")];
    let mut local_ssds = Decimal::ZERO;
    for count in &local_ssd_counts {
        local_ssds += config.number(count)?.unwrap_or_default();
    }
    let (own, of_cluster) = (config.count(&path("node_locations"))?, config.count("node_locations")?);
    let zones = match if own > 0 { own } else { of_cluster } {
        0 if config.known_text("location").is_some_and(is_region) => {
            bill = bill.assuming("a regional pool has its nodes in three zones");
            3
        }
        0 => 1,
        zones => zones,
    };
    let all = nodes.checked_mul(Decimal::from(zones)).ok_or("the quantity is too large")?;
    let disks = disk.checked_mul(all).ok_or("the quantity is too large")?;
    bill = bill.and("instance", kind.unwrap_or("e2-medium"), all).and("disk", class, disks);
    if !local_ssds.is_zero() {
        let size = local_ssds * Decimal::from(LOCAL_SSD_GB);
        bill = bill.and("disk", "local-ssd", size.checked_mul(all).ok_or("the quantity is too large")?);
    }
    Ok(bill)
}

/// Whether the location is a region: regions end in a digit (`europe-west1`), zones in a letter
/// (`europe-west1-b`).
fn is_region(location: &str) -> bool {
    location.ends_with(|last: char| last.is_ascii_digit())
}

fn redis(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let tier = config.text("tier")?.unwrap_or("BASIC");
    let size = config.required_number("memory_size_gb")?;
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
