//! The broker of the compose file, without a container: its own settings, with this machine's ports.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use ::stack::{Broker, Endpoints, Stack, StackConfig, Tethered};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel};
use serde_json::Value;

use crate::support::SUBJECT_SECRET;

const COMPOSE: &str = include_str!("../../../compose/compose.yaml");
const ACLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../compose/kafka/acls.txt");
/// The pepper of this deployment.
const PEPPER: &str = "the pepper of a test, long enough";

/// The servers, and what the compose file says of them.
pub(super) struct Cluster {
    pub(super) endpoints: Endpoints,
    compose: Value,
    jars: std::path::PathBuf,
    _stack: Tethered,
    pub(super) home: tempfile::TempDir,
}

/// A user of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User(pub(super) &'static str);

impl User {
    /// The password that the compose file's variables give it.
    fn password(self) -> String {
        let name = self.0.trim_start_matches("weir_").to_ascii_uppercase();
        secret(&format!("KAFKA_{name}_PASSWORD"))
    }

    /// librdkafka's settings.
    pub(super) fn settings(self) -> BTreeMap<String, String> {
        [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", self.0),
            ("sasl.password", &self.password()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }
}

/// The secret of a variable of the compose file.
fn secret(variable: &str) -> String {
    format!("a-secret-for-{variable}")
}

/// A text of the compose file with its variables replaced: those that end in `PASSWORD` by their secrets, the
/// others by nothing.
fn interpolated(text: &str) -> String {
    let mut parts = text.split("${");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').expect("a variable ends");
        let name = variable.split(':').next().unwrap_or_default();
        if name.ends_with("PASSWORD") {
            out.push_str(&secret(name));
        }
        out.push_str(rest);
    }
    out.replace("$$", "$")
}

/// Kafka's settings among a service's variables, as the image's start script reads them.
fn broker_settings(environment: &Value) -> BTreeMap<String, String> {
    // Of the containers: their addresses, and the memory of the process.
    const OTHERS: [&str; 5] = [
        "KAFKA_LISTENERS",
        "KAFKA_ADVERTISED_LISTENERS",
        "KAFKA_CONTROLLER_QUORUM_VOTERS",
        "KAFKA_LOG_DIRS",
        "KAFKA_HEAP_OPTS",
    ];
    let mut settings = BTreeMap::new();
    for (name, value) in environment.as_object().expect("variables") {
        let Some(key) = name.strip_prefix("KAFKA_").filter(|_| !OTHERS.contains(&name.as_str())) else {
            continue;
        };
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        settings.insert(key.to_ascii_lowercase().replace('_', "."), value);
    }
    for (key, value) in [
        ("listeners", "INSIDE://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
        ("advertised.listeners", "INSIDE://127.0.0.1:{port}"),
        ("controller.quorum.voters", "1@127.0.0.1:{controller}"),
    ] {
        settings.insert(key.to_owned(), value.to_owned());
    }
    settings
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let compose: Value = serde_saphyr::from_str(&interpolated(COMPOSE)).expect("the file is YAML");
        let home = tempfile::tempdir().expect("a folder");
        let properties = broker_settings(&compose["services"]["kafka"]["environment"]);
        let client = User("broker").settings();
        let config = StackConfig::private(home.path()).expect("a place for the servers");
        let config = config.with_broker(Broker { properties, client });
        let jars = config.kafka_jars().expect("Kafka's jars");
        let stack = Stack::new(config).tethered();
        let endpoints = stack.up().await.expect("servers");
        sinks::postgres::create_database(&endpoints.maintenance_url, "weir").await.expect("a database");
        Self { endpoints, compose, jars, _stack: stack, home }
    }

    /// Runs the command of the service `acls`.
    pub(super) fn grant(&self) {
        let home = self.home.path();
        let service = &self.compose["services"]["acls"];
        let properties = service["environment"]["BROKER_PROPERTIES"].as_str().expect("text");
        let properties_file = home.join("broker.properties");
        let tool = home.join("kafka-acls.sh");
        let java = format!(
            "exec java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '{}/*' org.apache.kafka.tools.AclCommand \"$@\"",
            self.jars.display()
        );
        fs::write(&tool, java).expect("written");
        let command = service["command"].as_array().expect("a command");
        let words: Vec<String> = command
            .iter()
            .map(|word| {
                let word = word.as_str().expect("text");
                word.replace("/opt/kafka/bin/kafka-acls.sh", &format!("sh {}", tool.display()))
                    .replace("kafka:9092", &self.endpoints.kafka)
                    .replace("/tmp/broker.properties", &properties_file.display().to_string())
                    .replace("/acls.txt", ACLS)
            })
            .collect();
        let output = Command::new(&words[0])
            .args(&words[1..])
            .env("BROKER_PROPERTIES", properties)
            .stdin(Stdio::null())
            .output()
            .expect("bash is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The settings of a client that is this user.
    pub(super) fn client(&self, user: User) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.endpoints.kafka)
            .set("client.id", "test")
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Emerg);
        for (key, value) in user.settings() {
            config.set(key, value);
        }
        config
    }

    /// A command with the variables for Kafka of a service of the compose file.
    pub(super) fn command_of(&self, service: &str, args: &[&str]) -> Command {
        let environment = self.compose["services"][service]["environment"].as_object().expect("variables");
        let of_kafka = environment.iter().filter(|(name, _)| name.starts_with("KAFKA_S"));
        let mut command = self.command(args);
        command.envs(of_kafka.map(|(name, value)| (name, value.as_str().expect("text"))));
        command
    }

    /// A command as this user.
    pub(super) fn command_as(&self, user: User, args: &[&str]) -> Command {
        let mut command = self.command(args);
        command
            .env("KAFKA_SECURITY_PROTOCOL", "sasl_plaintext")
            .env("KAFKA_SASL_MECHANISM", "PLAIN")
            .env("KAFKA_SASL_USERNAME", user.0)
            .env("KAFKA_SASL_PASSWORD", user.password());
        command
    }

    fn command(&self, args: &[&str]) -> Command {
        let home: &Path = self.home.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-under-test"));
        command
            .args(args)
            .current_dir(home)
            .env("KAFKA_BOOTSTRAP_SERVERS", &self.endpoints.kafka)
            .env("DATABASE_URL", &self.endpoints.database_url)
            .env("WEIR_HOME", home)
            .env("WEIR_AUDIT__SUBJECT_SECRET", SUBJECT_SECRET)
            .env("WEIR_API_KEYS__PEPPER", PEPPER)
            .env("RUST_LOG", "error")
            .env_remove("SCHEMA_REGISTRY_URL")
            .stdin(Stdio::null());
        command
    }
}
