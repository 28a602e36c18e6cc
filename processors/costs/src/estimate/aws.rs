//! Amazon Web Services: resource types of the Terraform provider `aws`.

use rust_decimal::Decimal;

use super::{
    measure::{Answer, Bill, Measured, by_use},
    side::{Side, Unpriced},
};

/// The bill of a resource; `None` for types without a rule.
pub(super) fn measure(kind: &str, config: &Side<'_>) -> Answer {
    Some(match kind {
        "aws_instance" | "aws_spot_instance_request" => instance(kind, config),
        "aws_ebs_volume" => volume(config, "").map(Measured::from),
        "aws_db_instance" => database(config),
        "aws_rds_cluster_instance" => aurora(config),
        "aws_elasticache_cluster" => cache(config),
        "aws_elasticache_replication_group" => cache_group(config),
        "aws_lb" | "aws_alb" => load_balancer(config),
        "aws_elb" => Ok(Bill::of("load_balancer", "classic").besides("processed data").into()),
        "aws_nat_gateway" => Ok(Bill::of("nat_gateway", "standard").besides("processed data").into()),
        "aws_eip" => Ok(Bill::of("public_ipv4", "standard").into()),
        "aws_eks_cluster" => Ok(Bill::of("kubernetes_cluster", "standard").into()),
        "aws_eks_node_group" => node_group(config),
        "aws_dynamodb_table" => table(config),
        "aws_kms_key" => Ok(Bill::of("encryption_key", "customer_managed").besides("requests").into()),
        "aws_secretsmanager_secret" => Ok(Bill::of("secret", "standard").besides("requests").into()),
        "aws_route53_zone" => Ok(Bill::of("dns_zone", "hosted").besides("queries").into()),
        "aws_vpc_endpoint" => endpoint(config),
        "aws_vpn_connection" => Ok(Bill::of("vpn_connection", "site_to_site").besides("transfer").into()),
        "aws_ec2_transit_gateway_vpc_attachment" => {
            Ok(Bill::of("transit_gateway_attachment", "vpc").besides("processed data").into())
        }
        "aws_opensearch_domain" | "aws_elasticsearch_domain" => search(config),
        "aws_msk_cluster" => kafka(config),
        "aws_redshift_cluster" => warehouse(config),
        "aws_s3_bucket" => by_use("stored data and requests"),
        "aws_lambda_function" => by_use("requests and duration"),
        "aws_cloudwatch_log_group" => by_use("ingested and stored data"),
        "aws_cloudwatch_metric_alarm" | "aws_flow_log" | "aws_cloudtrail" => by_use("metrics and logs"),
        "aws_cloudfront_distribution" => by_use("transfer and requests"),
        "aws_efs_file_system" | "aws_ecr_repository" | "aws_rds_cluster" => by_use("stored data"),
        "aws_sqs_queue" | "aws_sns_topic" | "aws_api_gateway_rest_api" | "aws_apigatewayv2_api" => {
            by_use("requests")
        }
        "aws_autoscaling_group" => {
            Err("the instance type is in its launch template or configuration".to_owned())
        }
        "aws_ecs_service" => Err("the size is in its task definition or instances".to_owned()),
        _ => return None,
    })
}

fn instance(kind: &str, config: &Side<'_>) -> Result<Measured, Unpriced> {
    if kind == "aws_spot_instance_request" || config.count("instance_market_options")? > 0 {
        return Err("a spot price changes by the hour".to_owned());
    }
    if let Some(tenancy @ ("dedicated" | "host")) = config.text("tenancy")? {
        return Err(format!("the price list has no {tenancy} tenancy"));
    }
    let mut bill = Bill::of("instance", config.required("instance_type")?).assuming("Linux, on demand");
    if config.count("root_block_device")? > 0 {
        merge(&mut bill, volume(config, "root_block_device/0/")?);
    } else {
        config.says_default_of("root_block_device");
        bill = bill.and("volume", "gp2", Decimal::from(8)).assuming("a root volume of 8 GB gp2");
    }
    for at in 0..config.count("ebs_block_device")? {
        merge(&mut bill, volume(config, &format!("ebs_block_device/{at}/"))?);
    }
    Ok(bill.into())
}

fn merge(bill: &mut Bill, other: Bill) {
    bill.parts.extend(other.parts);
    bill.assumptions.extend(other.assumptions);
}

/// A separate volume, or a block of an instance at that path.
fn volume(config: &Side<'_>, at: &str) -> Result<Bill, Unpriced> {
    let path = |name: &str| format!("{at}{name}");
    let (kind, size) = if at.is_empty() { ("type", "size") } else { ("volume_type", "volume_size") };
    let kind = config.text(&path(kind))?.unwrap_or("gp2").to_ascii_lowercase();
    let mut bill = Bill::default();
    if at.is_empty() {
        // The provider takes it from the snapshot, which is not in the plan.
        config.known(size)?;
    }
    let size = bill.number_or(config, &path(size), 8)?;
    bill = bill.and("volume", kind.clone(), size);
    let iops = config.number(&path("iops"))?.unwrap_or_default();
    let included = Decimal::from(if kind == "gp3" { 3_000 } else { 0 });
    if matches!(kind.as_str(), "gp3" | "io1" | "io2") && iops > included {
        bill = bill.and("volume_iops", kind.clone(), iops - included);
    }
    let throughput = config.number(&path("throughput"))?.unwrap_or_default();
    if kind == "gp3" && throughput > Decimal::from(125) {
        bill = bill.and("volume_throughput", "gp3", throughput - Decimal::from(125));
    }
    Ok(bill)
}

fn database(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let engine = config.required("engine")?.to_ascii_lowercase();
    let class = config.required("instance_class")?;
    let mut bill = Bill::of("database", format!("{engine}:{class}"));
    let kind = match config.text("storage_type")? {
        Some(kind) => kind.to_ascii_lowercase(),
        None if config.number("iops")?.is_some_and(|iops| !iops.is_zero()) => "io1".to_owned(),
        None => "gp2".to_owned(),
    };
    let size = config.required_number("allocated_storage")?;
    bill = bill.and("database_storage", kind.clone(), size);
    match kind.as_str() {
        "io1" | "io2" => bill = bill.and("database_iops", kind, config.required_number("iops")?),
        "gp3" => bill = database_gp3(bill, config, &engine, size)?,
        _ => {}
    }
    // A standby in a second zone is an instance and a copy of the storage.
    if config.flag("multi_az")? {
        bill = bill.times(Decimal::TWO)?;
    }
    Ok(bill.besides("backups beyond the size of the database").into())
}

/// IOPS and throughput beyond those that the price of gp3 storage contains: large storage is striped over four volumes.
fn database_gp3(mut bill: Bill, config: &Side<'_>, engine: &str, size: Decimal) -> Result<Bill, Unpriced> {
    let striped_from = match engine {
        engine if engine.starts_with("sqlserver") => None,
        engine if engine.starts_with("oracle") => Some(200),
        _ => Some(400),
    };
    let is_striped = striped_from.is_some_and(|from| size >= Decimal::from(from));
    let (iops, throughput) = if is_striped { (12_000, 500) } else { (3_000, 125) };
    for (product, argument, included) in
        [("database_iops", "iops", iops), ("database_throughput", "storage_throughput", throughput)]
    {
        let beyond = config.number(argument)?.unwrap_or_default() - Decimal::from(included);
        if beyond > Decimal::ZERO {
            bill = bill.and(product, "gp3", beyond);
        }
    }
    Ok(bill)
}

fn aurora(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let class = config.required("instance_class")?;
    if class == "db.serverless" {
        return by_use("capacity units");
    }
    Ok(Bill::of("database", format!("aurora:{class}")).besides("storage and I/O of the cluster").into())
}

fn cache(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let mut bill = Bill::of("cache", config.required("node_type")?);
    let nodes = bill.number_or(config, "num_cache_nodes", 1)?;
    Ok(bill.times(nodes)?.into())
}

fn cache_group(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let mut bill = Bill::of("cache", config.required("node_type")?);
    let nodes = if let Some(nodes) = config.number("num_cache_clusters")? {
        nodes
    } else {
        let groups = bill.number_or(config, "num_node_groups", 1)?;
        let replicas = bill.number_or(config, "replicas_per_node_group", 0)?;
        groups.checked_mul(replicas + Decimal::ONE).ok_or("the quantity is too large")?
    };
    Ok(bill.times(nodes)?.into())
}

fn load_balancer(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let kind = config.text("load_balancer_type")?.unwrap_or("application");
    Ok(Bill::of("load_balancer", kind).besides("capacity units").into())
}

fn node_group(config: &Side<'_>) -> Result<Measured, Unpriced> {
    if config.text("capacity_type")?.is_some_and(|kind| kind.eq_ignore_ascii_case("SPOT")) {
        return Err("a spot price changes by the hour".to_owned());
    }
    let mut bill = match config.text("instance_types/0")? {
        Some(kind) => Bill::of("instance", kind),
        None if config.count("launch_template")? > 0 => {
            return Err("the instance type is in its launch template".to_owned());
        }
        None => {
            config.says_default_of("instance_types");
            Bill::of("instance", "t3.medium").assuming("t3.medium, the provider's default")
        }
    };
    let disk = bill.number_or(config, "disk_size", 20)?;
    let nodes = config.required_number("scaling_config/0/desired_size")?;
    Ok(bill.and("volume", "gp2", disk).assuming("Linux, on demand, at its desired size").times(nodes)?.into())
}

fn table(config: &Side<'_>) -> Result<Measured, Unpriced> {
    if config.text("billing_mode")?.is_some_and(|mode| mode == "PAY_PER_REQUEST") {
        return by_use("requests and stored data");
    }
    let (read, write) = (config.required_number("read_capacity")?, config.required_number("write_capacity")?);
    Ok(Bill::of("table_capacity", "read")
        .times(read)?
        .and("table_capacity", "write", write)
        .besides("stored data")
        .into())
}

fn endpoint(config: &Side<'_>) -> Result<Measured, Unpriced> {
    match config.text("vpc_endpoint_type")?.unwrap_or("Gateway") {
        "Gateway" => Ok(Measured::Free),
        "Interface" => {
            let zones = config.count("subnet_ids")?.max(1);
            Ok(Bill::of("vpc_endpoint", "interface")
                .times(Decimal::from(zones))?
                .besides("processed data")
                .into())
        }
        other => Ok(Bill::of("vpc_endpoint", other.to_ascii_lowercase()).into()),
    }
}

fn search(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let kind = config.text("cluster_config/0/instance_type")?;
    let mut bill = match kind {
        Some(kind) => Bill::of("search_instance", kind.replace(".elasticsearch", ".search")),
        None => return Err("cluster_config.instance_type is missing".to_owned()),
    };
    let count = bill.number_or(config, "cluster_config/0/instance_count", 1)?;
    if config.flag("ebs_options/0/ebs_enabled")? {
        let kind = config.text("ebs_options/0/volume_type")?.unwrap_or("gp2").to_ascii_lowercase();
        let size = bill.number_or(config, "ebs_options/0/volume_size", 10)?;
        bill = bill.and("search_storage", kind, size);
    }
    bill = bill.times(count)?;
    if config.flag("cluster_config/0/dedicated_master_enabled")? {
        let kind =
            config.required("cluster_config/0/dedicated_master_type")?.replace(".elasticsearch", ".search");
        let masters = bill.number_or(config, "cluster_config/0/dedicated_master_count", 3)?;
        bill = bill.and("search_instance", kind, masters);
    }
    Ok(bill.into())
}

fn kafka(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let group = "broker_node_group_info/0/";
    let kind = config.required(&format!("{group}instance_type"))?;
    let brokers = config.required_number("number_of_broker_nodes")?;
    let size = config.required_number(&format!("{group}storage_info/0/ebs_storage_info/0/volume_size"))?;
    Ok(Bill::of("kafka_broker", kind).and("kafka_storage", "standard", size).times(brokers)?.into())
}

fn warehouse(config: &Side<'_>) -> Result<Measured, Unpriced> {
    let mut bill = Bill::of("warehouse_node", config.required("node_type")?);
    let nodes = bill.number_or(config, "number_of_nodes", 1)?;
    Ok(bill.times(nodes)?.into())
}
