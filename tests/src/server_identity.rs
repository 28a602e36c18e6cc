//! Kafka and PostgreSQL that prove who they are, and clients that do: the right certificates are taken, and whatever is wrong
//! with one is refused with an error that says what to do.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Output,
};

use ::stack::{Broker, Stack, StackConfig, Tethered};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::service;

/// A certificate and its key, each in a file, and both in one.
struct Certified {
    certificate: PathBuf,
    key: PathBuf,
    both: PathBuf,
}

/// A signer of certificates.
struct Authority {
    certificate: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().expect("random bytes");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = folder.join(format!("{name}.crt"));
        fs::write(&certificate, params.self_signed(&key).expect("signed").pem()).expect("written");
        Self { certificate, issuer: Issuer::new(params, key), folder: folder.to_owned() }
    }

    /// A certificate for a host, or an address, that ends in that year.
    fn certify(&self, name: &str, host: &str, year: i32) -> Certified {
        let key = KeyPair::generate().expect("random bytes");
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").pem();
        let file = |end: &str, text: String| {
            let path = self.folder.join(format!("{name}.{end}"));
            fs::write(&path, text).expect("written");
            path
        };
        let both = file("pem", format!("{}{certificate}", key.serialize_pem()));
        Certified { certificate: file("crt", certificate), key: file("key", key.serialize_pem()), both }
    }
}

/// Far from now.
const VALID: i32 = 2090;
const EXPIRED: i32 = 2001;
const PEPPER: &str = "thirty-two bytes of pepper, and more";

fn text(path: &Path) -> String {
    path.to_str().expect("text").to_owned()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// The command with these variables, and nothing of what surrounds the test.
async fn weir(home: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(service::weir());
    command.args(args).current_dir(home).env("WEIR_HOME", home).env_remove("SCHEMA_REGISTRY_URL");
    command.env("RUST_LOG", "error").envs(environment.iter().copied()).kill_on_drop(true);
    command.output().await.expect("it starts")
}

#[track_caller]
fn check(what: &str, output: &Output, expected: Result<(), &[&str]>) {
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match expected {
        Ok(()) => assert!(output.status.success(), "{what}: {said}"),
        Err(words) => {
            assert!(!output.status.success(), "{what} is taken: {said}");
            for word in words {
                assert!(said.contains(word), "{what}: {word:?} is not in {said}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_believed_by_its_certificate() {
    let home = tempfile::tempdir().expect("a folder");
    let config = StackConfig::private(home.path()).expect("a place").with_kafka("unused:0".into());
    let stack = Stack::new(config).tethered();
    let endpoints = stack.up().await.expect("servers");
    let (ours, foreign) = (Authority::new(home.path(), "ours"), Authority::new(home.path(), "foreign"));
    let mut owner = PgConnection::connect(&endpoints.maintenance_url).await.expect("connected");
    let base =
        sinks::postgres::create_database(&endpoints.maintenance_url, "weir").await.expect("a database");
    sinks::postgres::migrate(&base).await.expect("migrations");
    let [here, elsewhere, late] = [
        ("here", "127.0.0.1", VALID),
        ("elsewhere", "db.example.com", VALID),
        ("late", "127.0.0.1", EXPIRED),
    ]
    .map(|(name, host, year)| ours.certify(name, host, year));
    let with = |authority: &Authority| {
        let joint = if base.contains('?') { '&' } else { '?' };
        format!("{base}{joint}sslmode=verify-full&sslrootcert={}", text(&authority.certificate))
    };
    let ask = async |url: String| {
        weir(
            home.path(),
            &["key", "list"],
            &[
                ("DATABASE_URL", &url),
                ("WEIR_API_KEYS__PEPPER", PEPPER),
                ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
            ],
        )
        .await
    };
    check("a server without a certificate", &ask(with(&ours)).await, Err(&["sslmode"]));
    for (certified, words) in [(&here, None), (&elsewhere, Some("db.example.com")), (&late, Some("expired"))]
    {
        for (setting, file) in [("ssl_cert_file", &certified.certificate), ("ssl_key_file", &certified.key)] {
            let name = file.file_name().and_then(|name| name.to_str()).expect("text");
            put(&mut owner, name, &fs::read_to_string(file).expect("written")).await;
            let set = format!("ALTER SYSTEM SET {setting} = '{name}'");
            owner.execute(sqlx::AssertSqlSafe(set)).await.expect("a superuser");
        }
        owner.execute("ALTER SYSTEM SET ssl = on").await.expect("a superuser");
        owner.execute("SELECT pg_reload_conf(), pg_sleep(0.5)").await.expect("a superuser");
        let output = ask(with(&ours)).await;
        match words {
            None => {
                check("the right certificate", &output, Ok(()));
                check("another authority", &ask(with(&foreign)).await, Err(&["sslrootcert"]));
            }
            Some(word) => check(word, &output, Err(&[word])),
        }
    }
}

/// Writes a file into the server's data folder, as the user that the server runs as.
async fn put(owner: &mut PgConnection, name: &str, text: &str) {
    let lines = format!(
        "COPY (SELECT unnest(string_to_array('{text}', E'\\n'))) TO PROGRAM 'umask 077; cat > {name}'"
    );
    owner.execute(sqlx::AssertSqlSafe(lines)).await.expect("a superuser");
}

/// A broker that has a listener for each case.
struct Kafka {
    ours: Authority,
    foreign: Authority,
    /// A client whom the broker believes.
    client: Certified,
    /// Listener for clients with a certificate.
    mutual: String,
    /// Listener for users with a password.
    scram: String,
    /// Listener with the certificate of another host.
    other: String,
    /// Listener with a certificate that has expired.
    expired: String,
    database: String,
    _stack: Tethered,
    home: TempDir,
}

/// Names and values, as settings take them.
fn pairs<const N: usize>(settings: [(&str, String); N]) -> BTreeMap<String, String> {
    settings.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Settings of the broker, whose own certificate is `server`.
fn properties(authority: &Authority, server: &Certified, ports: [u16; 3]) -> BTreeMap<String, String> {
    let [scram, other, expired] = ports;
    let elsewhere = authority.certify("elsewhere", "kafka.example.com", VALID);
    let late = authority.certify("late", "127.0.0.1", EXPIRED);
    let all = format!(
        "MUTUAL://127.0.0.1:{{port}},SCRAM://127.0.0.1:{scram},OTHER://127.0.0.1:{other},\
         EXPIRED://127.0.0.1:{expired}"
    );
    let protocols = "MUTUAL:SSL,SCRAM:SASL_SSL,OTHER:SSL,EXPIRED:SSL,CONTROLLER:PLAINTEXT";
    let module = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    pairs([
        ("listeners", format!("{all},CONTROLLER://127.0.0.1:{{controller}}")),
        ("advertised.listeners", all),
        ("listener.security.protocol.map", protocols.to_owned()),
        ("inter.broker.listener.name", "MUTUAL".to_owned()),
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", text(&server.both)),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", text(&authority.certificate)),
        ("listener.name.mutual.ssl.client.auth", "required".to_owned()),
        ("listener.name.other.ssl.keystore.location", text(&elsewhere.both)),
        ("listener.name.expired.ssl.keystore.location", text(&late.both)),
        ("listener.name.scram.sasl.enabled.mechanisms", "SCRAM-SHA-512".to_owned()),
        ("listener.name.scram.scram-sha-512.sasl.jaas.config", module.to_owned()),
    ])
}

impl Kafka {
    async fn start() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let (ours, foreign) = (Authority::new(home.path(), "ours"), Authority::new(home.path(), "foreign"));
        let server = ours.certify("server", "127.0.0.1", VALID);
        let client = ours.certify("client", "client", VALID);
        let ports = [(); 3].map(|()| free_port());
        let properties = properties(&ours, &server, ports);
        let as_client = pairs([
            ("security.protocol", "ssl".to_owned()),
            ("ssl.ca.location", text(&ours.certificate)),
            ("ssl.certificate.location", text(&client.certificate)),
            ("ssl.key.location", text(&client.key)),
        ]);
        let config = StackConfig::private(home.path()).expect("a place");
        let config = config.with_broker(Broker { properties, client: as_client });
        let jars = config.kafka_jars().expect("Kafka's jars");
        let stack = Stack::new(config).tethered();
        let endpoints = stack.up().await.expect("servers");
        add_scram_user(home.path(), &jars, &endpoints.kafka, &ours, &client);
        let database = sinks::postgres::create_database(&endpoints.maintenance_url, "weir").await;
        let database = database.expect("a database");
        let [scram, other, expired] = ports.map(|port| format!("127.0.0.1:{port}"));
        let mutual = endpoints.kafka;
        Self { ours, foreign, client, mutual, scram, other, expired, database, _stack: stack, home }
    }

    /// Output of the command that prepares the topics, as a client that trusts the authority.
    async fn asked(&self, listener: &str, authority: &Authority, more: &[(&str, &str)]) -> Output {
        let trusted = text(&authority.certificate);
        let mut environment = vec![
            ("KAFKA_BOOTSTRAP_SERVERS", listener),
            ("DATABASE_URL", self.database.as_str()),
            ("KAFKA_SSL_CA_LOCATION", trusted.as_str()),
        ];
        environment.extend_from_slice(more);
        weir(self.home.path(), &["topology", "apply"], &environment).await
    }

    /// The same with a certificate of its own.
    async fn asked_with(&self, listener: &str, authority: &Authority, own: &Certified) -> Output {
        let (certificate, key) = (text(&own.certificate), text(&own.key));
        let more = [
            ("KAFKA_SECURITY_PROTOCOL", "ssl"),
            ("KAFKA_SSL_CERTIFICATE_LOCATION", certificate.as_str()),
            ("KAFKA_SSL_KEY_LOCATION", key.as_str()),
        ];
        self.asked(listener, authority, &more).await
    }

    /// The same with a password.
    async fn asked_as(&self, authority: &Authority, mechanism: &str, password: &str) -> Output {
        let more = [
            ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
            ("KAFKA_SASL_MECHANISM", mechanism),
            ("KAFKA_SASL_USERNAME", "weir_gateway"),
            ("KAFKA_SASL_PASSWORD", password),
        ];
        self.asked(&self.scram, authority, &more).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_and_its_clients_believe_each_other_by_certificates_and_passwords() {
    let kafka = Kafka::start().await;
    let Kafka { ours, foreign, client, mutual, other, expired, .. } = &kafka;
    let stranger = foreign.certify("stranger", "client", VALID);
    let authority: &[&str] = &["KAFKA_SSL_CA_LOCATION"];
    let own: &[&str] = &["KAFKA_SSL_CERTIFICATE_LOCATION"];
    check("both certificates", &kafka.asked_with(mutual, ours, client).await, Ok(()));
    let nothing = kafka.asked(mutual, ours, &[("KAFKA_SECURITY_PROTOCOL", "ssl")]).await;
    check("no client's certificate", &nothing, Err(own));
    check("a stranger's certificate", &kafka.asked_with(mutual, ours, &stranger).await, Err(own));
    check("another authority", &kafka.asked_with(mutual, foreign, client).await, Err(authority));
    let host: &[&str] = &["KAFKA_BOOTSTRAP_SERVERS"];
    check("another host's", &kafka.asked_with(other, ours, client).await, Err(host));
    check("an expired one", &kafka.asked_with(expired, ours, client).await, Err(&["expired"]));
    let (scram_sha, password): (_, &[&str]) = ("SCRAM-SHA-512", &["KAFKA_SASL_PASSWORD"]);
    check("the right password", &kafka.asked_as(ours, scram_sha, "right").await, Ok(()));
    check("a wrong password", &kafka.asked_as(ours, scram_sha, "wrong").await, Err(password));
}

/// Gives the user `weir_gateway` the password `right`, as who holds the client's certificate.
fn add_scram_user(home: &Path, jars: &Path, kafka: &str, ours: &Authority, client: &Certified) {
    let file = home.join("admin.properties");
    let lines = [
        "security.protocol=SSL".to_owned(),
        "ssl.keystore.type=PEM".to_owned(),
        format!("ssl.keystore.location={}", text(&client.both)),
        "ssl.truststore.type=PEM".to_owned(),
        format!("ssl.truststore.location={}", text(&ours.certificate)),
    ];
    fs::write(&file, lines.join("\n")).expect("written");
    let output = std::process::Command::new("java")
        .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(format!("{}/*", jars.display()))
        .args(["kafka.admin.ConfigCommand", "--bootstrap-server", kafka, "--command-config"])
        .arg(&file)
        .args(["--alter", "--add-config", "SCRAM-SHA-512=[password=right]"])
        .args(["--entity-type", "users", "--entity-name", "weir_gateway"])
        .output()
        .expect("java is installed");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
