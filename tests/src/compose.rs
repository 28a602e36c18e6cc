//! `compose/`, held against the pipeline and the local stack. No test here runs a container.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use topology::topology::access::Role;

use crate::support::rust_files;

/// Every stage of the pipeline.
fn stages() -> Vec<&'static str> {
    topology::pipeline::declaration().stage_names()
}

const ROLES: [&str; 2] = ["gateway", "query-api"];
/// The process of all sinks, for who has any.
const SINKS: &str = "sinks";

const COMPOSE: &str = include_str!("../../compose/compose.yaml");
const DOCKERFILE: &str = include_str!("../../compose/Dockerfile");
const ACLS: &str = include_str!("../../compose/kafka/acls.txt");
const PROMETHEUS: &str = include_str!("../../compose/prometheus/prometheus.yml");
const ALERTS: &str = include_str!("../../compose/prometheus/alerts.yml");
const ALERT_TESTS: [&str; 2] = [
    include_str!("../../compose/prometheus/alerts.test.yml"),
    include_str!("../../compose/prometheus/alerts.days.test.yml"),
];
const RUNBOOK: &str = include_str!("../../compose/prometheus/RUNBOOK.md");
const POM: &str = include_str!("../../compose/local/pom.xml");

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("the file is YAML")
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn pinned(property: &str) -> &'static str {
    let (open, close) = (format!("<{property}>"), format!("</{property}>"));
    POM.split_once(&open).and_then(|(_, rest)| rest.split_once(&close)).expect("the pom pins it").0
}

#[test]
fn every_stage_and_role_is_a_service() {
    let services = &yaml(COMPOSE)["services"];
    for name in stages().iter().chain(&ROLES).chain(&[SINKS]) {
        assert_eq!(strings(&services[name]["command"]), ["run", name], "the service {name}");
    }
    assert_eq!(strings(&services[SINKS]["profiles"]), ["sinks"], "without sinks it would not start");
}

/// A tag may be another image tomorrow.
#[test]
fn images_are_named_by_digest() {
    let compose = yaml(COMPOSE);
    let services = compose["services"].as_object().expect("services");
    let of_services = services.values().filter_map(|service| service["image"].as_str());
    let built_from = DOCKERFILE.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
    let stages: Vec<&str> = DOCKERFILE.lines().filter_map(|line| Some(line.split_once(" AS ")?.1)).collect();
    let mut named = 0;
    for image in
        of_services.chain(built_from).filter(|image| *image != "weir:local" && !stages.contains(image))
    {
        let digest = image.split_once("@sha256:").unwrap_or_else(|| panic!("{image} has no digest")).1;
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{image}");
        named += 1;
    }
    assert_eq!(named, 7, "five services and both images of the build");
}

#[test]
fn our_services_wait_for_what_they_need_and_may_do_nothing_else() {
    let services = &yaml(COMPOSE)["services"];
    for name in stages().iter().chain(&ROLES).chain(&[SINKS, "setup"]) {
        let service = &services[name];
        for needed in ["kafka", "postgres"] {
            assert_eq!(service["depends_on"][needed]["condition"], "service_healthy", "{name} and {needed}");
            assert!(services[needed]["healthcheck"]["test"].is_array(), "{needed}");
        }
        assert_eq!(service["user"], "65532:65532", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(service["ulimits"]["core"], 0, "{name}");
        if *name == "setup" {
            continue;
        }
        assert_eq!(service["depends_on"]["setup"]["condition"], "service_completed_successfully", "{name}");
        assert!(strings(&service["healthcheck"]["test"]).contains(&"healthcheck"), "{name}");
    }
}

/// Only the role that prepares the database has all rights in it; each secret is only where it is needed.
#[test]
fn each_service_has_its_own_login_and_no_more_secrets_than_it_needs() {
    let services = &yaml(COMPOSE)["services"];
    for name in stages().iter().chain(&ROLES).chain(&[SINKS, "setup"]) {
        let environment = &services[name]["environment"];
        let login = match *name {
            "gateway" => "weir_gateway",
            "query-api" => "weir_query_api",
            "setup" => "postgres",
            _ => "weir_stages",
        };
        let url = environment["DATABASE_URL"].as_str().expect("a URL");
        assert!(url.starts_with(&format!("postgres://{login}:${{")), "{name}: {url}");
        let has = |variable: &str| environment.get(variable).is_some();
        assert_eq!(has("WEIR_API_KEYS__PEPPER"), ROLES.contains(name) || *name == "setup", "{name}");
        let keeps_subjects = ["audit", "retention", "setup"].contains(name);
        assert_eq!(has("WEIR_AUDIT__SUBJECT_SECRET"), keeps_subjects, "{name}");
        assert_eq!(has("WEIR_AUDIT__SIGNING_KEY"), ["audit", "retention"].contains(name), "{name}");
        assert_eq!(has("WEIR_DATABASE__STAGES_PASSWORD"), *name == "setup", "{name}");
    }
}

/// Compose says so at once where a secret is missing; those of dashboards are for who starts them.
#[test]
fn a_secret_that_is_missing_is_told() {
    let settings = COMPOSE.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut told = BTreeSet::new();
    let mut named = BTreeSet::new();
    for part in settings.flat_map(|line| line.split("${").skip(1)) {
        let variable = part.split_once('}').expect("a variable ends").0;
        let (name, unset) = variable.split_once(':').unwrap_or((variable, ""));
        named.insert(name);
        if unset.starts_with('?') {
            told.insert(name);
        }
    }
    named.retain(|name| *name != "RUST_LOG" && !name.starts_with("GRAFANA_"));
    assert_eq!(told, named);
}

/// Compose makes neither configurations nor secrets from text inside a container that is read-only.
#[test]
fn no_read_only_service_takes_a_configuration_made_of_text() {
    let compose = yaml(COMPOSE);
    for (name, service) in compose["services"].as_object().expect("services") {
        let is_read_only = service["read_only"] == true;
        assert!(!is_read_only || (service["configs"].is_null() && service["secrets"].is_null()), "{name}");
    }
}

/// The user of each service on Kafka, whose rights are the ones of its role.
#[test]
fn each_service_has_its_own_user_on_kafka() {
    let services = &yaml(COMPOSE)["services"];
    for name in stages().iter().chain(&ROLES).chain(&[SINKS, "setup"]) {
        let role = match *name {
            "gateway" => Role::Gateway,
            "query-api" => Role::QueryApi,
            "setup" => Role::Operator,
            SINKS => Role::Sinks,
            _ => Role::Stages,
        };
        let environment = &services[name]["environment"];
        let password =
            format!("${{KAFKA_{}_PASSWORD", role.user().trim_start_matches("weir_").to_uppercase());
        assert_eq!(environment["KAFKA_SASL_USERNAME"], role.user(), "{name}");
        assert!(
            environment["KAFKA_SASL_PASSWORD"].as_str().is_some_and(|text| text.starts_with(&password)),
            "{name}"
        );
    }
}

#[test]
fn the_rights_on_kafka_are_those_that_the_pipeline_needs() {
    let grants = topology::pipeline::declaration().grants();
    let lines: String =
        grants.iter().map(|grant| grant.arguments(&format!("User:{}", grant.role.user())) + "\n").collect();
    assert_eq!(ACLS, lines, "write the output of `weir topology acls` to compose/kafka/acls.txt");
}

#[test]
fn ports_are_published_on_loopback_only() {
    let compose = yaml(COMPOSE);
    let services = compose["services"].as_object().expect("services");
    let ports: Vec<&str> = services.values().flat_map(|service| strings(&service["ports"])).collect();
    assert!(ports.len() >= 4, "{ports:?}");
    assert!(ports.iter().all(|port| port.starts_with("127.0.0.1:")), "{ports:?}");
}

#[test]
fn the_containers_run_the_versions_that_the_local_stack_runs() {
    let compose = yaml(COMPOSE);
    let image = |service: &str| compose["services"][service]["image"].as_str().expect("an image");
    let named = |service: &str| image(service).split_once('@').expect("a digest").0.to_owned();
    assert_eq!(named("kafka"), format!("apache/kafka:{}", pinned("kafka.version")));
    assert!(pinned("postgres.version").starts_with(named("postgres").trim_start_matches("postgres:")));
}

#[test]
fn prometheus_scrapes_every_process() {
    let scrapes = yaml(PROMETHEUS)["scrape_configs"].clone();
    let jobs: Vec<String> = scrapes.as_array().expect("jobs").iter().map(Value::to_string).collect();
    for name in stages().iter().chain(&ROLES).chain(&[SINKS, "witness"]) {
        let (host, target) = (format!("\"{name}\""), format!("\"{name}:"));
        assert!(
            jobs.iter().any(|job| job.contains(&host) && job.contains("names") || job.contains(&target)),
            "{name}"
        );
    }
    for stage in stages() {
        let gone = format!("absent(weir_assigned_partitions{{stage=\"{stage}\"}})");
        assert!(ALERTS.contains(&gone), "NoConsumers does not notice that {stage} is gone");
    }
}

#[test]
fn every_alert_is_explained_and_tested() {
    let tests = ALERT_TESTS.concat();
    for rule in rules() {
        let name = rule["alert"].as_str().expect("a name");
        let heading = format!("\n## {name}\n");
        let page = format!("RUNBOOK.md#{}", name.to_lowercase());
        assert!(RUNBOOK.contains(&heading), "{name} has no page in RUNBOOK.md");
        assert_eq!(rule["annotations"]["runbook_url"], page, "{name}");
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("critical" | "warning")), "{name}");
        let (firing, quiet) = (format!("        alertname: {name}\n"), format!("alertname: {name} }}"));
        assert!(tests.contains(&firing) && tests.contains(&quiet), "{name} is not tested");
    }
    for text in ALERT_TESTS {
        yaml(text);
    }
}

#[test]
fn every_metric_of_an_alert_is_one_that_weir_exports() {
    let sources = sources();
    let metrics: BTreeSet<String> =
        rules().iter().flat_map(|rule| metrics_in(rule["expr"].as_str().expect("an expression"))).collect();
    assert!(metrics.len() > 5, "{metrics:?}");
    for metric in metrics {
        assert!(sources.contains(&format!("\"{metric}\"")), "an alert uses {metric}, which nothing exports");
    }
}

fn rules() -> Vec<Value> {
    let alerts = yaml(ALERTS);
    let groups = alerts["groups"].as_array().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
}

/// The text of every source file that may register a metric.
pub(crate) fn sources() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let parts = ["edge", "producers", "sinks", "topology", "topology/cli", "topology/stack"];
    let files = parts.into_iter().flat_map(|part| rust_files(&root.join(part).join("src")));
    files.map(|(_, text)| text).collect()
}

/// The metrics that an expression of Prometheus names, as they are registered: without what a histogram appends.
pub(crate) fn metrics_in(expr: &str) -> Vec<String> {
    const OURS: [&str; 6] = ["weir_", "kafka_", "messaging_", "http_server_", "db_client_", "siem_"];
    expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| OURS.iter().any(|prefix| word.starts_with(prefix)))
        .map(|word| word.trim_end_matches("_bucket").trim_end_matches("_count").to_owned())
        .collect()
}
