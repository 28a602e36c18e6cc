//! One Kafka node, broker and controller in one process (KRaft).

use super::fetch::{Part, Sources};
use super::folder::{DataFolder, Found, claim, create_private};
use super::process::{Detached, ProcessId, holds_within, log_tail, next_log, run};
use super::state::Server;
use super::{Broker, StackConfig, StackError, java, ports};
use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const NAME: &str = "Kafka";
/// File with the settings of a client that the broker answers; a broker may not answer everybody.
const CLIENT: &str = "client.properties";
/// A start takes 2 to 4 s; after a crash it also waits out its own old session, and recovery reads every open segment.
const READY_WITHIN: Duration = Duration::from_secs(90);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Starts the broker on its data, or on a newly formatted folder, and waits until it answers.
pub(super) fn start(
    config: &StackConfig,
    sources: &Sources,
    previous: Option<&Server>,
    record: &dyn Fn(Server) -> Result<(), StackError>,
) -> Result<(), StackError> {
    let java = java::find()?;
    let site = Site::new(config)?;
    let port = ports::pick(&config.home, "kafka", previous.map(|server| server.port))?;
    let controller = previous.and_then(|server| server.controller_port);
    let controller = ports::pick(&config.home, "kafka controller", controller)?;
    site.write_properties(&config.broker, port, controller)?;
    if site.data.clear_draft()? {
        config.say("Kafka's data folder was left half-written by an interrupted start; it is created again");
    }
    if site.data.inspect(|text| site.judge(text))? == Found::Absent {
        site.format(&java, &sources.kafka)?;
    }
    config.say(&format!("starting Kafka on 127.0.0.1:{port}"));
    let log = next_log(&site.folder.join("logs"))?;
    let process = site.launch(&java, &sources.kafka, &log)?;
    let server = Server {
        process: Some(process.clone()),
        port,
        controller_port: Some(controller),
        folder: site.folder.clone(),
        log: log.clone(),
        programs: sources.kafka.clone(),
    };
    record(server.clone())?;
    await_ready(&server, &process)
}

fn await_ready(server: &Server, process: &ProcessId) -> Result<(), StackError> {
    let says_started =
        || fs::read_to_string(&server.log).is_ok_and(|log| log.contains("Kafka Server started"));
    let mut ended = false;
    let ready = holds_within(READY_WITHIN, || {
        ended = !process.is_alive();
        ended || says_started()
    });
    let reason = match (ended, ready) {
        (true, _) => "it ended while starting".to_owned(),
        (false, true) if answers(server) => return Ok(()),
        (false, true) => "it says that it started, but does not answer".to_owned(),
        (false, false) => format!("it was not ready within {} s", READY_WITHIN.as_secs()),
    };
    // Half a broker would keep its data folder locked.
    kill_now(server)?;
    Err(StackError::NotStarted { server: NAME, reason, log: server.log.clone(), tail: log_tail(&server.log) })
}

/// Whether a client gets the cluster's metadata.
pub(super) fn answers(server: &Server) -> bool {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", format!("127.0.0.1:{}", server.port))
        .set("client.id", "weir-stack")
        .set("log.connection.close", "false")
        .set_log_level(RDKafkaLogLevel::Emerg);
    let own = fs::read_to_string(server.folder.join(CLIENT)).unwrap_or_default();
    for (key, value) in own.lines().filter_map(|line| line.split_once('=')) {
        config.set(key, value);
    }
    let client: Result<BaseConsumer, _> = config.create();
    client
        .and_then(|client| client.fetch_metadata(None, ANSWER_WITHIN))
        .is_ok_and(|metadata| !metadata.brokers().is_empty())
}

/// Lets the broker close its logs.
pub(super) fn stop(server: &Server) -> Result<(), StackError> {
    let Some(process) = &server.process else { return Ok(()) };
    let refused = |error: nix::Error| not_stopped(process, error.to_string());
    process.signal(Signal::SIGTERM).map_err(refused)?;
    if process.ends_within(STOPPED_WITHIN) {
        return Ok(());
    }
    kill_now(server)
}

/// As a crash would: nothing is closed or flushed.
pub(super) fn kill_now(server: &Server) -> Result<(), StackError> {
    let Some(process) = &server.process else { return Ok(()) };
    process.signal(Signal::SIGKILL).map_err(|error| not_stopped(process, error.to_string()))?;
    if process.ends_within(STOPPED_WITHIN) {
        Ok(())
    } else {
        Err(not_stopped(process, "it is still there after SIGKILL".to_owned()))
    }
}

fn not_stopped(process: &ProcessId, reason: String) -> StackError {
    StackError::NotStopped { server: NAME, pid: process.pid, reason }
}

/// Refuses folders that Kafka or Java would read as the names of several, or not at all.
pub(super) fn check_folders(home: &Path, libs: &Path) -> Result<(), StackError> {
    let refused = |path: &Path, reason: &str| {
        Err(StackError::Unusable { what: "the folder", path: path.to_owned(), reason: reason.to_owned() })
    };
    match (home.to_str(), libs.to_str()) {
        (None, _) => refused(home, "its name is not UTF-8; set WEIR_HOME to another folder"),
        (Some(text), _) if text.contains(',') => {
            refused(home, "Kafka takes the comma for the end of its name; set WEIR_HOME to another folder")
        }
        (_, Some(text)) if !text.contains(':') => Ok(()),
        _ => refused(
            libs,
            "its name must be UTF-8 without a colon, where Java would split it; set WEIR_HOME, or WEIR_SERVERS and \
             KAFKA_HOME where they name it, to another folder",
        ),
    }
}

/// The broker's files.
struct Site {
    folder: PathBuf,
    data: DataFolder,
    cluster: String,
}

impl Site {
    fn new(config: &StackConfig) -> Result<Self, StackError> {
        let folder = config.home.join("kafka");
        claim(NAME, &folder, Part::Kafka.mark())?;
        let data = DataFolder { server: NAME, path: folder.join("data"), mark: "meta.properties" };
        let cluster = cluster_id(&folder)?;
        Ok(Self { folder, data, cluster })
    }

    fn judge(&self, meta: &str) -> Option<String> {
        match property(meta, "cluster.id") {
            Some(id) if id == self.cluster => None,
            Some(id) => Some(format!("belongs to cluster {id}, not to this stack's {}", self.cluster)),
            None => Some("is not whole: meta.properties names no cluster".to_owned()),
        }
    }

    fn write_properties(&self, broker: &Broker, port: u16, controller: u16) -> Result<(), StackError> {
        let write = |name: &str, text: String| {
            let path = self.folder.join(name);
            let written = create_private(&path).and_then(|mut file| file.write_all(text.as_bytes()));
            written.map_err(StackError::io("write", &path))
        };
        let own = lines(&broker.properties)
            .replace("{port}", &port.to_string())
            .replace("{controller}", &controller.to_string());
        write("server.properties", properties(port, controller, &self.data.path) + &own)?;
        write("format.properties", properties(port, controller, &self.data.draft()) + &own)?;
        write(CLIENT, lines(&broker.client))?;
        write("log4j2.xml", LOG4J2.to_owned())
    }

    fn format(&self, java: &Path, libs: &Path) -> Result<(), StackError> {
        let mut command = Command::new(java);
        command.envs(java::environment());
        command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]).args(self.logging());
        command.args([
            "-cp",
            &classpath(libs),
            "kafka.tools.StorageTool",
            "format",
            "-t",
            &self.cluster,
            "-c",
        ]);
        command.arg(self.folder.join("format.properties")).current_dir(&self.folder);
        match run(&mut command, None)? {
            (true, _) => self.data.adopt_draft(),
            (false, said) => Err(StackError::NotPrepared {
                server: NAME,
                path: self.data.path.clone(),
                output: super::error::tail(&said),
            }),
        }
    }

    fn launch(&self, java: &Path, libs: &Path, log: &Path) -> Result<ProcessId, StackError> {
        let mut args: Vec<String> = JVM.iter().map(|arg| (*arg).to_owned()).collect();
        args.extend(self.logging());
        args.extend(["-cp".to_owned(), classpath(libs), "kafka.Kafka".to_owned()]);
        args.push(self.folder.join("server.properties").display().to_string());
        Detached { program: java, args, dir: &self.folder, log, env: java::environment() }.spawn()
    }

    fn logging(&self) -> [String; 1] {
        [format!("-Dlog4j2.configurationFile={}", self.folder.join("log4j2.xml").display())]
    }
}

fn lines(settings: &BTreeMap<String, String>) -> String {
    let lines: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    lines.concat()
}

fn classpath(libs: &Path) -> String {
    libs.join("*").display().to_string()
}

/// As Kafka's own start script has them, with a heap for one machine.
const JVM: [&str; 7] = [
    "-server",
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-Djava.awt.headless=true",
];

/// The start says everything; what comes later is written only if it matters, which bounds the log.
const LOG4J2: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <Console name="stdout"><PatternLayout pattern="%d{ISO8601} %p %m (%c)%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="WARN"><AppenderRef ref="stdout"/></Root>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
    <Logger name="org.apache.kafka.server" level="INFO"/>
    <Logger name="kafka.server.BrokerServer" level="INFO"/>
  </Loggers>
</Configuration>
"#;

/// A text as a value of a properties file, which is Latin-1: what is not ASCII stands there as escapes of its UTF-16.
fn escaped(text: &str) -> String {
    let escape = |unit: u16| match u8::try_from(unit) {
        Ok(b'\\') => "\\\\".to_owned(),
        Ok(byte @ b' '..=b'~') => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    };
    text.encode_utf16().map(escape).collect()
}

fn properties(port: u16, controller: u16, data: &Path) -> String {
    let data = escaped(&data.display().to_string());
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={data}

# One node: nothing can be replicated.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4

# Topics are declared, never guessed from a client's typing error.
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0

# A killed broker is refused until its old session ends: seconds, not the default nine.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000

# Retention is seen to soon after a topic is told to keep less.
log.initial.task.delay.ms=5000
log.retention.check.interval.ms=5000
log.cleaner.dedupe.buffer.size=33554432
"
    )
}

/// The id that this home's broker was formatted with; created and stored once.
fn cluster_id(folder: &Path) -> Result<String, StackError> {
    let path = folder.join(Part::Kafka.mark());
    match fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StackError::io("read", &path)(error));
        }
        _ => {}
    }
    let id = new_cluster_id(rand::random());
    fs::write(&path, &id).map_err(StackError::io("write", &path))?;
    Ok(id)
}

/// 16 bytes as Kafka writes them: base64 for URLs, without padding.
fn new_cluster_id(random: u128) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // The first bit stays clear, so that the id never begins with `-`: Kafka would take it for an option.
    let random = random >> 1;
    (0..22)
        .map(|n| if n < 21 { random >> (122 - 6 * n) } else { random << 4 })
        .map(|bits| char::from(ALPHABET[usize::try_from(bits & 0x3f).unwrap_or(0)]))
        .collect()
}

fn property<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('='))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_is_what_kafka_prints_for_the_same_bytes() {
        // `Uuid.ONE_UUID` and its neighbours, as `org.apache.kafka.common.Uuid.toString` gives them.
        assert_eq!(new_cluster_id(1 << 1), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(new_cluster_id(u128::MAX), "f____________________w");
        assert_eq!(new_cluster_id(0).len(), 22);
    }

    #[test]
    fn properties_are_read_back() {
        let text = properties(21_092, 21_093, Path::new("/home/kafka/data"));
        assert_eq!(property(&text, "log.dirs"), Some("/home/kafka/data"));
        assert_eq!(property(&text, "advertised.listeners"), Some("PLAINTEXT://127.0.0.1:21092"));
        assert_eq!(property(&text, "controller.quorum.voters"), Some("1@127.0.0.1:21093"));
        assert_eq!(property(&text, "absent"), None);
        assert!(!text.contains("0.0.0.0"), "loopback only");
    }

    #[test]
    fn a_folder_of_any_name_is_written_in_ascii() {
        for (path, written) in [
            ("/home/jörg/weir", "/home/j\\u00f6rg/weir"),
            ("/home/данные", "/home/\\u0434\\u0430\\u043d\\u043d\\u044b\\u0435"),
            ("/home/𝄞 a", "/home/\\ud834\\udd1e a"),
            ("/a\\b\n", "/a\\\\b\\u000a"),
        ] {
            let text = properties(21_092, 21_093, Path::new(path));
            assert_eq!(property(&text, "log.dirs"), Some(written));
            assert!(text.is_ascii(), "{text}");
        }
    }

    #[test]
    fn a_folder_that_would_be_read_as_two_is_refused_with_the_way_out() {
        let check = |home: &str, libs: &str| check_folders(Path::new(home), Path::new(libs));
        check("/home/jörg/weir:2", "/home/jörg, his servers/libs").expect("usable");
        for (home, libs, named) in [("/srv/a,b", "/srv/libs", "/srv/a,b"), ("/srv", "/a:b/libs", "/a:b/libs")]
        {
            let error = check(home, libs).expect_err("refused").to_string();
            assert!(error.contains(named) && error.contains("set WEIR_HOME"), "{error}");
        }
    }

    #[test]
    fn a_foreign_or_damaged_data_folder_is_told_from_ours() {
        let home = tempfile::tempdir().expect("a folder");
        let site = Site {
            folder: home.path().to_owned(),
            data: DataFolder { server: NAME, path: home.path().join("data"), mark: "meta.properties" },
            cluster: "AAAAAAAAAAAAAAAAAAAAAQ".to_owned(),
        };
        assert_eq!(site.judge("#\nversion=1\ncluster.id=AAAAAAAAAAAAAAAAAAAAAQ\n"), None);
        assert!(site.judge("cluster.id=other").expect("said").contains("belongs to cluster other"));
        assert!(site.judge("").expect("said").contains("not whole"));
    }

    #[test]
    fn a_stack_keeps_its_cluster_id() {
        let home = tempfile::tempdir().expect("a folder");
        let first = cluster_id(home.path()).expect("made");
        assert_eq!(cluster_id(home.path()).expect("read"), first);
    }
}
