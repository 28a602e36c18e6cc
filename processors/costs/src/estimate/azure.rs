//! Microsoft Azure: resource types of the Terraform provider `azurerm`.

use rust_decimal::Decimal;

use super::{
    measure::{Answer, Bill, Measured, by_use},
    side::{Side, Unpriced},
};

/// Disk sizes of the price tiers in GB, with the number of the tier.
const DISK_TIERS: [(u32, &str); 7] =
    [(32, "4"), (64, "6"), (128, "10"), (256, "15"), (512, "20"), (1_024, "30"), (2_048, "40")];

/// The bill of a resource; `None` for types without a rule.
pub(super) fn measure(kind: &str, config: &Side<'_>) -> Answer {
    Some(match kind {
        "azurerm_linux_virtual_machine" => machine(config, "virtual_machine", "size", "os_disk"),
        "azurerm_windows_virtual_machine" => machine(config, "virtual_machine_windows", "size", "os_disk"),
        "azurerm_virtual_machine" => old_machine(config),
        "azurerm_linux_virtual_machine_scale_set" => scale_set(config, "virtual_machine"),
        "azurerm_windows_virtual_machine_scale_set" => scale_set(config, "virtual_machine_windows"),
        "azurerm_managed_disk" => {
            disk(Bill::default(), config, ("storage_account_type", "disk_size_gb"), 0).map(Measured::from)
        }
        "azurerm_kubernetes_cluster" => cluster(config),
        "azurerm_kubernetes_cluster_node_pool" => node_pool(config),
        "azurerm_mssql_database" => sql_database(config),
        "azurerm_postgresql_flexible_server" => flexible(config, "postgresql_server", "storage_mb", 1_024),
        "azurerm_mysql_flexible_server" => flexible(config, "mysql_server", "storage/0/size_gb", 1),
        "azurerm_redis_cache" => redis(config),
        "azurerm_public_ip" => public_ip(config),
        "azurerm_nat_gateway" => Ok(Bill::of("nat_gateway", "standard").besides("processed data").into()),
        "azurerm_lb" => load_balancer(config),
        "azurerm_application_gateway" => gateway(config),
        "azurerm_service_plan" => service_plan(config),
        "azurerm_container_registry" => config
            .text("sku")
            .map(|sku| Bill::of("container_registry", sku.unwrap_or("Basic")).besides("stored data").into()),
        "azurerm_virtual_network_gateway" => {
            config.required("sku").map(|sku| Bill::of("vpn_gateway", sku).besides("transfer").into())
        }
        "azurerm_dns_zone" => Ok(Bill::of("dns_zone", "public").besides("queries").into()),
        "azurerm_private_dns_zone" => Ok(Bill::of("dns_zone", "private").besides("queries").into()),
        "azurerm_storage_account" | "azurerm_storage_container" => by_use("stored data and requests"),
        "azurerm_key_vault" | "azurerm_key_vault_key" => by_use("requests"),
        "azurerm_log_analytics_workspace" | "azurerm_application_insights" => by_use("ingested data"),
        "azurerm_cosmosdb_account" => by_use("request units and stored data"),
        "azurerm_linux_function_app" | "azurerm_windows_function_app" => {
            by_use("executions, unless its service plan has a size")
        }
        _ => return None,
    })
}

fn machine(
    config: &Side<'_>,
    product: &'static str,
    size: &str,
    os_disk: &str,
) -> Result<Measured, Unpriced> {
    if config.text("priority")?.is_some_and(|priority| priority.eq_ignore_ascii_case("spot")) {
        return Err("a spot price changes by the hour".to_owned());
    }
    let bill = Bill::of(product, config.required(size)?);
    let (kind, size) = (format!("{os_disk}/0/storage_account_type"), format!("{os_disk}/0/disk_size_gb"));
    let default_size = if product == "virtual_machine_windows" { 127 } else { 30 };
    let mut bill = disk(bill, config, (&kind, &size), default_size)?.assuming("pay as you go");
    for at in 0..config.count("data_disk")? {
        let at = format!("data_disk/{at}/");
        let paths = (format!("{at}storage_account_type"), format!("{at}disk_size_gb"));
        bill = disk(bill, config, (&paths.0, &paths.1), 0)?;
    }
    Ok(bill.into())
}

fn old_machine(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let windows = config.count("os_profile_windows_config")? > 0;
    let product = if windows { "virtual_machine_windows" } else { "virtual_machine" };
    let bill = Bill::of(product, config.required("vm_size")?);
    let paths = ("storage_os_disk/0/managed_disk_type", "storage_os_disk/0/disk_size_gb");
    let mut bill = disk(bill, config, paths, if windows { 127 } else { 30 })?.assuming("pay as you go");
    for at in 0..config.count("storage_data_disk")? {
        let at = format!("storage_data_disk/{at}/");
        // A disk that exists already is a resource of its own.
        let option = config.text(&format!("{at}create_option"))?;
        if !option.is_some_and(|option| option.eq_ignore_ascii_case("attach")) {
            let paths = (format!("{at}managed_disk_type"), format!("{at}disk_size_gb"));
            bill = disk(bill, config, (&paths.0, &paths.1), 0)?;
        }
    }
    Ok(bill.into())
}

fn scale_set(config: &Side<'_>, product: &'static str) -> Result<Measured, Unpriced> {
    let Measured::BySize(bill) = machine(config, product, "sku", "os_disk")? else {
        return Ok(Measured::Free);
    };
    let count = config.required_number("instances")?;
    Ok(bill.times(count)?.into())
}

/// A managed disk, billed by the tier of its size.
fn disk(
    mut bill: Bill,
    config: &Side<'_>,
    (kind, size): (&str, &str),
    default: u32,
) -> Result<Bill, Unpriced> {
    let kind = config.text(kind)?.unwrap_or("Standard_LRS");
    let letter = match kind {
        "Premium_LRS" => 'P',
        "StandardSSD_LRS" => 'E',
        "Standard_LRS" => 'S',
        other => return Err(format!("the price list knows no disks of the type {other}")),
    };
    let size =
        if default > 0 { bill.number_or(config, size, default)? } else { config.required_number(size)? };
    let tier = DISK_TIERS.iter().find(|(most, _)| size <= Decimal::from(*most));
    let (_, tier) = tier.ok_or("the disk is larger than 2,048 GB, the largest with a price")?;
    let bill = bill.and("managed_disk", format!("{letter}{tier}"), Decimal::ONE);
    Ok(if letter == 'P' { bill } else { bill.besides("disk operations") })
}

fn cluster(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let mut bill = Bill::default();
    match config.text("sku_tier")? {
        None | Some("Free") => {}
        Some("Paid") => bill = bill.and("kubernetes_cluster", "Standard", Decimal::ONE),
        Some(tier) => bill = bill.and("kubernetes_cluster", tier, Decimal::ONE),
    }
    let size = config.required("default_node_pool/0/vm_size")?;
    let nodes = bill.number_or(config, "default_node_pool/0/node_count", 1)?;
    Ok(bill.and("virtual_machine", size, nodes).assuming("disks of the nodes are not counted").into())
}

fn node_pool(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let windows = config.text("os_type")?.is_some_and(|os| os.eq_ignore_ascii_case("windows"));
    let product = if windows { "virtual_machine_windows" } else { "virtual_machine" };
    let mut bill = Bill::of(product, config.required("vm_size")?);
    let nodes = bill.number_or(config, "node_count", 1)?;
    Ok(bill.times(nodes)?.assuming("disks of the nodes are not counted").into())
}

fn sql_database(config: &Side<'_>) -> Result<Measured, Unpriced> {
    if config.text("elastic_pool_id")?.is_some() {
        return Ok(Bill::default().besides("billed with its elastic pool").into());
    }
    let sku = config.required("sku_name")?;
    if sku.contains("_S_") {
        return by_use("serverless compute");
    }
    Ok(Bill::of("sql_database", sku).besides("storage beyond what is included").into())
}

fn flexible(
    config: &Side<'_>,
    product: &'static str,
    storage: &str,
    per_gb: u32,
) -> Result<Measured, Unpriced> {
    let mut bill = Bill::of(product, config.required("sku_name")?);
    let default = if per_gb == 1 { 20 } else { 32_768 };
    let size = bill.number_or(config, storage, default)? / Decimal::from(per_gb);
    bill = bill.and("server_storage", "standard", size);
    if config.count("high_availability")? > 0 {
        bill = bill.times(Decimal::TWO)?;
    }
    Ok(bill.besides("backups").into())
}

fn redis(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let (kind, family) = (config.required("sku_name")?, config.required("family")?);
    let capacity = config.required_number("capacity")?;
    let shards = config.number("shard_count")?.unwrap_or(Decimal::ONE).max(Decimal::ONE);
    Ok(Bill::of("redis", format!("{kind}_{family}{capacity}")).times(shards)?.into())
}

fn public_ip(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let standard = !config.text("sku")?.is_some_and(|sku| sku.eq_ignore_ascii_case("basic"));
    let fixed = config.text("allocation_method")?.is_none_or(|method| method.eq_ignore_ascii_case("static"));
    if standard || fixed {
        return Ok(Bill::of("public_ip", "standard").into());
    }
    Ok(Bill::of("public_ip", "standard").assuming("a dynamic address that is in use all month").into())
}

fn load_balancer(config: &Side<'_>) -> Result<Measured, Unpriced> {
    match config.text("sku")? {
        Some(sku) if sku.eq_ignore_ascii_case("basic") => Ok(Measured::Free),
        _ => Ok(Bill::of("load_balancer", "standard")
            .assuming("at most five rules")
            .besides("processed data")
            .into()),
    }
}

fn gateway(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let sku = config.required("sku/0/name")?;
    Ok(Bill::of("application_gateway", sku).besides("capacity units").into())
}

fn service_plan(config: &Side<'_>) -> Result<Measured, Unpriced> {
    match config.required("sku_name")? {
        "F1" | "D1" => Ok(Measured::Free),
        sku if sku.starts_with('Y') => by_use("executions"),
        sku => {
            let mut bill = Bill::of("app_service", sku);
            let workers = bill.number_or(config, "worker_count", 1)?;
            let windows = config.text("os_type")?.is_some_and(|os| os.eq_ignore_ascii_case("windows"));
            let bill = bill.times(workers)?;
            Ok(if windows { bill.assuming("priced as Linux") } else { bill }.into())
        }
    }
}
