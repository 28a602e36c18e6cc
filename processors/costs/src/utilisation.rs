//! Measurements of utilisation under one name and in one unit, whoever measured: CloudWatch, Azure Monitor, Cloud
//! Monitoring, OpenTelemetry and Prometheus name the same things differently.

use rust_decimal::Decimal;
use schemas::{
    changes::cost::UtilisationMetric,
    events::{Monitoring, MonitoringKind},
};

/// Longest name of a metric that Weir does not know, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// Largest value that is kept; no metric of a resource is beyond it.
const MAX_VALUE: i64 = 1_000_000_000_000_000;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    /// The name of a [`UtilisationMetric`], or the source's own.
    pub metric: String,
    /// Percent, or a count or rate in the source's unit.
    pub value: Decimal,
}

/// Measurement of an event; `None`: no utilisation, or not a valid number.
pub fn of_monitoring(event: &Monitoring) -> Option<Measurement> {
    if event.kind != MonitoringKind::UtilisationMeasured || event.subject.id.is_empty() {
        return None;
    }
    let value: Decimal = event.value.as_deref()?.trim().parse().ok()?;
    if value.is_sign_negative() && !value.is_zero() || value > Decimal::from(MAX_VALUE) {
        return None;
    }
    let name = squeezed(&event.name);
    let scale = Scale::of(&event.name, event.unit.as_deref());
    let known = metric_of(&name, scale);
    let percent = known.is_some_and(|metric| {
        matches!(metric, UtilisationMetric::Cpu | UtilisationMetric::Memory | UtilisationMetric::Io)
    });
    let value = if percent && scale == Scale::Fraction { value * Decimal::ONE_HUNDRED } else { value };
    let end = event.name.floor_char_boundary(MAX_NAME_BYTES);
    let metric = known.map_or_else(|| event.name[..end].to_owned(), |metric| metric.name().to_owned());
    (!metric.is_empty()).then(|| Measurement { metric, value: value.normalize() })
}

/// Unit of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// 0 to 100.
    Percent,
    /// 0 to 1.
    Fraction,
    /// A count, a size or a rate.
    Amount,
    /// The source does not tell.
    Untold,
}

impl Scale {
    fn of(name: &str, unit: Option<&str>) -> Self {
        let unit = unit.map(|unit| unit.trim().to_ascii_lowercase()).unwrap_or_default();
        match unit.as_str() {
            "%" | "percent" | "percentage" | "pct" => Self::Percent,
            "1" | "ratio" | "fraction" | "10^2.%" => Self::Fraction,
            // Cloud Monitoring and OpenTelemetry measure utilisation as fractions.
            "" if name.contains("googleapis.com/") || is_open_telemetry(name) => Self::Fraction,
            "" => Self::Untold,
            _ => Self::Amount,
        }
    }
}

/// OpenTelemetry's names of utilisation: `system.cpu.utilization`, `container.memory.utilization`.
fn is_open_telemetry(name: &str) -> bool {
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default();
    matches!(first, "system" | "container" | "process" | "k8s" | "vm") && name.ends_with(".utilization")
}

/// The metric of a name in lower case without separators.
fn metric_of(name: &str, scale: Scale) -> Option<UtilisationMetric> {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let is_share = match scale {
        Scale::Percent | Scale::Fraction => true,
        Scale::Amount => false,
        Scale::Untold => {
            has(&["percent", "utilization", "utilisation", "usage"])
                || matches!(name, "cpu" | "memory" | "mem")
        }
    };
    // Of what is left, reserved, credited or asked for is no use.
    if has(&[
        "credit",
        "free",
        "available",
        "idle",
        "limit",
        "requested",
        "reserv",
        "throttl",
        "steal",
        "error",
    ]) {
        return None;
    }
    if is_share && has(&["cpu", "processor"]) {
        return Some(UtilisationMetric::Cpu);
    }
    if is_share && has(&["mem"]) {
        return Some(UtilisationMetric::Memory);
    }
    if is_share && has(&["iops", "ioutil", "iopercent", "iosutil", "ioconsum"]) {
        return Some(UtilisationMetric::Io);
    }
    if is_share && scale != Scale::Untold {
        return None;
    }
    if has(&["network", "bytesin", "bytesout", "processedbytes"]) {
        return Some(UtilisationMetric::Network);
    }
    if has(&["connection"]) && !has(&["refused", "failed", "rejected"]) {
        return Some(UtilisationMetric::Connections);
    }
    let requests =
        ["requestcount", "requests", "readops", "writeops", "invocations", "queries", "transactions"];
    has(&requests).then_some(UtilisationMetric::Requests)
}

/// A name in lower case without separators.
pub(crate) fn squeezed(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
pub(crate) mod tests {
    use schemas::events::Resource;

    use super::*;

    /// A measurement of a resource.
    pub(crate) fn measured(name: &str, unit: Option<&str>, value: &str, subject: Resource) -> Monitoring {
        Monitoring {
            kind: MonitoringKind::UtilisationMeasured,
            subject,
            name: name.into(),
            severity: None,
            status: None,
            value: Some(value.into()),
            threshold: None,
            unit: unit.map(str::to_owned),
            message: None,
        }
    }

    fn check(name: &str, unit: Option<&str>, value: &str, expected: Option<(&str, &str)>) {
        let event = measured(name, unit, value, Resource { id: "i-1".into(), ..Resource::default() });
        let found = of_monitoring(&event).map(|found| (found.metric, found.value.to_string()));
        let expected = expected.map(|(metric, value)| (metric.to_owned(), value.to_owned()));
        assert_eq!(found, expected, "{name} {unit:?} {value}");
    }

    #[test]
    fn metrics_have_one_name_and_one_unit() {
        check("CPUUtilization", Some("Percent"), "7.40", Some(("cpu_percent", "7.4")));
        check("Percentage CPU", Some("%"), "3", Some(("cpu_percent", "3")));
        check("cpu", Some("percent"), "7.4", Some(("cpu_percent", "7.4")));
        check("cpu", None, "7.4", Some(("cpu_percent", "7.4")));
        let google = "compute.googleapis.com/instance/cpu/utilization";
        check(google, None, "0.031", Some(("cpu_percent", "3.1")));
        check("system.memory.utilization", Some("1"), "0.5", Some(("memory_percent", "50")));
        check("mem_used_percent", None, "61", Some(("memory_percent", "61")));
        check("Data Disk IOPS Consumed Percentage", Some("percent"), "12", Some(("io_percent", "12")));
        check("NetworkIn", Some("Bytes"), "1200", Some(("network", "1200")));
        check("connections", Some("connections"), "183", Some(("connections", "183")));
        check("RequestCount", Some("count"), "0", Some(("requests", "0")));
    }

    #[test]
    fn what_is_no_use_keeps_its_name_or_is_left_out() {
        check("CPUCreditBalance", Some("count"), "5", Some(("CPUCreditBalance", "5")));
        check("cpu_requested", Some("cores"), "0.5", Some(("cpu_requested", "0.5")));
        check("memory_available", Some("percent"), "90", Some(("memory_available", "90")));
        check("disk", Some("percent"), "90", Some(("disk", "90")));
        check("cpu", Some("percent"), "-1", None);
        check("cpu", Some("percent"), "NaN", None);
        check("cpu", Some("percent"), "1e40", None);
        check("", Some("percent"), "1", None);
    }
}
