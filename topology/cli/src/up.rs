//! `weir up` and `weir down`: the whole pipeline on this machine.

mod kept;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use audit_log::keys::{PrivateKey, Purpose};
use clap::Args;
use processors::{Processor as _, audit::Audit};

use super::{
    Outcome,
    credential::without_password,
    deployment::{
        DEMO, Deployment, GATEWAY, ISSUER, QUERY_API, SINKS, Scheme, Secrets, Servers, Start, current_folder,
        free_address, write_private,
    },
    issuer,
    logins::Logins,
    output::{self, note},
    place,
    run::MEMORY,
    settings::{Client, Origin, Settings, kafka_security},
    shutdown,
    status::{self, client},
    topics, transport,
};
use stack::{Data, Endpoints, Stack, StackConfig, create_home};
use topology::{
    pipeline,
    runtime::offline::admin::{self, TopicChange},
};

/// The tenant that `up` makes a key for.
pub(super) const LOCAL_TENANT: &str = "demo";
/// The name of the witness's process.
const WITNESS: &str = "witness";
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Arguments of `weir up`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct UpArgs {
    /// Return when everything is ready; what is missing after a crash is started.
    #[arg(long)]
    detach: bool,
    /// Play no demo events.
    #[arg(long)]
    no_demo: bool,
    /// Start a schema registry too, and frame records with its ids.
    #[arg(long)]
    registry: bool,
    /// Start a witness of the audit log too, for a try: a real one belongs on another machine and to another owner.
    #[arg(long)]
    witness: bool,
    /// Start a scripted OpenID issuer too, whose tokens the services take: for a try and for tests.
    #[arg(long)]
    issuer: bool,
}

/// Arguments of `weir down`.
#[derive(Debug, Args)]
pub(super) struct DownArgs {
    /// Delete the local stack's data too.
    #[arg(long)]
    purge: bool,
}

/// Starts what does not run yet, waits until all of it is ready, and shows what flows.
pub(super) async fn up(args: UpArgs) -> anyhow::Result<Outcome> {
    let mut config = StackConfig::shared()?.with_notice(note);
    let home = config.home.clone();
    let lock = Deployment::lock(&config).await?;
    let mut deployment = Deployment::load(&home)?;
    if args.registry || deployment.registry.is_some() {
        config = config.with_registry();
    }
    create_home(&home)?;
    let endpoints = Stack::new(config.clone()).up().await?;
    transport::check(&endpoints)?;
    refuse_other_servers(&deployment, &endpoints)?;
    deployment.registry.clone_from(&endpoints.registry);
    // Once a start has named a database, the secrets belong to it too, whatever later starts name.
    deployment.named_database |= config.named.database_url.is_some();
    deployment.save(&home)?;

    let settings = Settings::load()?;
    settings.sinks()?;
    settings.issuers()?;
    for refused in topics::refused(&prepare(&endpoints).await?) {
        note(&refused.to_string());
    }
    // A server of our own has no other logins; one that is named has those that are set.
    let is_own = endpoints.maintenance_url != endpoints.database_url;
    let logins =
        if is_own { Logins::kept(&settings.database, &home)? } else { Logins::given(&settings.database)? };
    logins.make(&endpoints.database_url).await?;
    kept::pepper(&settings, &home)?;
    kept::subject_secret(&settings, &home)?;
    kept::signing_key(&settings, &home)?;
    kept::key(&mut deployment, &endpoints, &settings, &home).await?;
    let witness = args.witness || deployment.processes.iter().any(|process| process.name == WITNESS);
    let witness =
        witness.then(|| start_witness(&mut deployment, &home, &endpoints, &settings)).transpose()?;
    if args.issuer || deployment.processes.iter().any(|process| process.name == ISSUER) {
        start_issuer(&mut deployment, &home, &endpoints)?;
    }
    let site = Site {
        home: &home,
        endpoints: &endpoints,
        settings: &settings,
        logins: &logins,
        witness: witness.as_deref(),
    };
    start_missing(&mut deployment, &site)?;
    wait_until_ready(&deployment).await?;
    if !args.no_demo {
        start_demo(&mut deployment, &home, &endpoints)?;
    }
    print_places(&deployment, &endpoints, &settings.client);
    if let Some(process) = deployment.running(ISSUER) {
        print_issuer(&process.url(), &home.join(ISSUER));
    }
    drop(lock);
    if args.detach {
        return Ok(Outcome::Done);
    }
    watch(&config).await
}

/// Processes on other servers would run on beside a key and secrets that are none of theirs.
fn refuse_other_servers(deployment: &Deployment, endpoints: &Endpoints) -> anyhow::Result<()> {
    let others = deployment.on_other_servers(&Servers::of(endpoints));
    ensure!(
        others.is_empty(),
        "these processes run on other servers than this call names: {}; `weir down`, then `weir up`",
        others.join(", ")
    );
    Ok(())
}

/// Stops the pipeline's processes, then the servers.
pub(super) async fn down(args: DownArgs) -> anyhow::Result<Outcome> {
    let config = StackConfig::shared()?.with_notice(note);
    let home = config.home.clone();
    let purged = args.purge;
    let _lock = Deployment::lock(&config).await?;
    let loaded = Deployment::load(&home);
    let secrets = Secrets::on_purge(&loaded, config.named.database_url.is_some());
    let stopped = match loaded {
        Ok(mut deployment) => stop_processes(&mut deployment, &home).await?,
        Err(error) if purged => {
            note(&format!("{error:#}; its processes, if any, are left alone"));
            0
        }
        Err(error) => return Err(error),
    };
    let servers = Stack::new(config).down(if purged { Data::Purge } else { Data::Keep }).await?;
    if purged {
        Deployment::delete(&home, secrets)?;
    }
    match (stopped, servers, purged) {
        (0, false, false) => note("nothing was running"),
        (_, _, false) => note("stopped; `weir up` continues where it was"),
        (_, _, true) if secrets == Secrets::Keep => note(&format!(
            "stopped, and the local data deleted; a named database is left as it is, and so are its secrets and keys in {}",
            home.display()
        )),
        (_, _, true) => note("stopped, and its data deleted"),
    }
    Ok(Outcome::Done)
}

async fn stop_processes(deployment: &mut Deployment, home: &Path) -> anyhow::Result<usize> {
    let home = home.to_owned();
    let mut taken = std::mem::take(deployment);
    let (back, stopped) = tokio::task::spawn_blocking(move || {
        let stopped = taken.stop(&home);
        (taken, stopped)
    })
    .await?;
    *deployment = back;
    stopped
}

/// Database, tables and topics. Answers what was changed of the topics.
pub(super) async fn prepare(endpoints: &Endpoints) -> anyhow::Result<Vec<TopicChange>> {
    sinks::postgres::ensure_database(&endpoints.maintenance_url, &endpoints.database_url)
        .await
        .context("preparing the database")?;
    sinks::postgres::migrate(&endpoints.database_url).await.context("migrating the database")?;
    admin::apply(&pipeline::declaration(), &endpoints.kafka, &kafka_security())
        .await
        .context("preparing the topics")
}

/// The place of the pipeline's processes, and what they need to know of it.
struct Site<'a> {
    home: &'a Path,
    endpoints: &'a Endpoints,
    settings: &'a Settings,
    logins: &'a Logins,
    /// The witness that runs here, as the signer is told.
    witness: Option<&'a str>,
}

fn start_missing(deployment: &mut Deployment, site: &Site<'_>) -> anyhow::Result<()> {
    let &Site { home, endpoints, settings, logins, witness } = site;
    let origin = Origin::of(settings, &current_folder()?)?;
    let stages = pipeline::declaration().stage_names();
    let sinks = (!settings.sinks()?.is_empty()).then_some(SINKS);
    let wanted: Vec<&str> = [GATEWAY, QUERY_API].into_iter().chain(stages).chain(sinks).collect();
    for &name in &wanted {
        if deployment.running(name).is_some() {
            continue;
        }
        let own = logins.database_url(name, &endpoints.database_url)?;
        let mut environment = environment(&Endpoints { database_url: own, ..endpoints.clone() }, home);
        if let (Audit::NAME, Some(witness)) = (name, witness) {
            let witnesses = settings.audit.witnesses.iter().map(String::as_str).chain([witness]);
            let witnesses = serde_json::to_string(&witnesses.collect::<Vec<_>>())?;
            environment.push(("WEIR_AUDIT__WITNESSES", witnesses));
        }
        let start = Start {
            settings: Some(origin.clone()),
            servers: Some(Servers::of(endpoints)),
            ..start_of(name, deployment, settings, environment)?
        };
        deployment.start(home, name, start)?;
    }
    deployment.forget_ended(&[&wanted[..], &[WITNESS, ISSUER]].concat());
    deployment.save(home)?;
    let otherwise = deployment.started_otherwise(&origin);
    if !otherwise.is_empty() {
        note(&format!(
            "the settings have changed since these processes were started: {}; `weir down`, then `weir up` puts the \
             settings of this folder in force",
            otherwise.join(", ")
        ));
    }
    Ok(())
}

/// Command line and environment of a process of the pipeline, with free addresses. It reads its settings itself.
fn start_of(
    name: &str,
    deployment: &Deployment,
    settings: &Settings,
    mut env: Vec<(&'static str, String)>,
) -> anyhow::Result<Start> {
    // What was started a moment ago may not listen yet: its address is not free all the same.
    let mut free = |variable: &'static str, preferred: SocketAddr| {
        let is_taken = deployment.processes.iter().any(|other| other.is_alive() && other.holds(preferred));
        let address = free_address(if is_taken { SocketAddr::new(preferred.ip(), 0) } else { preferred })?;
        env.push((variable, address.to_string()));
        anyhow::Ok(address)
    };
    let (gateway, query_api) = (&settings.gateway, &settings.query_api);
    let (listen, admin, tls) = match name {
        GATEWAY => (
            free("WEIR_GATEWAY__LISTEN", gateway.listen)?,
            Some(free("WEIR_GATEWAY__ADMIN_LISTEN", gateway.admin_listen)?),
            gateway.tls.config("gateway")?,
        ),
        QUERY_API => (
            free("WEIR_QUERY_API__LISTEN", query_api.listen)?,
            Some(free("WEIR_QUERY_API__ADMIN_LISTEN", query_api.admin_listen)?),
            query_api.tls.config("query_api")?,
        ),
        _ => (free("WEIR_STAGE__ADMIN_LISTEN", settings.stage.admin_listen)?, None, None),
    };
    let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
    let mut args = vec!["run".to_owned(), name.to_owned()];
    if let (GATEWAY | QUERY_API, Some(issuer)) = (name, deployment.running(ISSUER)) {
        args.extend(["--issuer".to_owned(), issuer.url()]);
    }
    Ok(Start { args, env, listen, admin, scheme, settings: None, servers: None })
}

/// Starts the witness unless it runs; how the signer is to ask it.
fn start_witness(
    deployment: &mut Deployment,
    home: &Path,
    endpoints: &Endpoints,
    settings: &Settings,
) -> anyhow::Result<String> {
    let file = home.join(place::WITNESS_KEY);
    if !file.exists() {
        let name = format!("witness-{}", output::hex(&rand::random::<[u8; 4]>()));
        let key = PrivateKey::new(&name, &rand::random()).context("naming the witness's key")?;
        write_private(&file, &key.text())?;
    }
    let key = PrivateKey::parse(&place::read(&file)?).context("the witness's key")?;
    let url = if let Some(process) = deployment.running(WITNESS) {
        process.admin_url()
    } else {
        let listen = free_address(SocketAddr::from(([127, 0, 0, 1], 8646)))?;
        let of_log = place::signing_keys(settings, home)?;
        let mut args = vec!["witness".to_owned(), "--listen".to_owned(), listen.to_string()];
        args.extend(["--key".to_owned(), file.display().to_string()]);
        args.extend(["--dir".to_owned(), home.join("witness").display().to_string()]);
        for key in of_log {
            args.extend(["--log".to_owned(), key.public(Purpose::Log).to_string()]);
        }
        let env = environment(endpoints, home);
        deployment.start(home, WITNESS, Start::plain(args, env, listen))?;
        format!("http://{listen}")
    };
    Ok(format!("{url} {}", key.public(Purpose::Witness)))
}

/// Starts the issuer unless it runs. Services read their issuers when they start, so none of them may run
/// without it.
fn start_issuer(deployment: &mut Deployment, home: &Path, endpoints: &Endpoints) -> anyhow::Result<()> {
    if deployment.running(ISSUER).is_some() {
        return Ok(());
    }
    if deployment.running(GATEWAY).is_some() || deployment.running(QUERY_API).is_some() {
        bail!("the services that run here do not know the issuer: `weir down`, then `weir up --issuer`");
    }
    let dir = home.join(ISSUER);
    issuer::secret(&dir)?;
    let listen = free_address(SocketAddr::from(([127, 0, 0, 1], 8647)))?;
    let args = ["issuer", "--listen", &listen.to_string(), "--dir", &dir.display().to_string()];
    let args = args.map(str::to_owned).to_vec();
    let env = environment(endpoints, home);
    deployment.start(home, ISSUER, Start::plain(args, env, listen))
}

/// Advice on getting a token of the scripted issuer.
fn print_issuer(url: &str, dir: &Path) {
    let secret = dir.join(issuer::SECRET_FILE);
    for line in [
        String::new(),
        format!("issuer     {url}"),
        "a person   weir auth login".to_owned(),
        format!(
            "           curl -s {url}/token -d grant_type=password -d username=mara -d 'roles=auditor approver' \\\n\
             \x20               --data-urlencode password@{}",
            secret.display()
        ),
        format!(
            "a program  curl -s {url}/token -u ci:$(cat {}) -d grant_type=client_credentials -d roles=developer",
            secret.display()
        ),
        "explain    weir auth explain TOKEN; weir access".to_owned(),
    ] {
        output::line(&line);
    }
}

fn start_demo(deployment: &mut Deployment, home: &Path, endpoints: &Endpoints) -> anyhow::Result<()> {
    if deployment.running(DEMO).is_some() {
        return Ok(());
    }
    let args = ["generate", "--demo", "--quiet", "--tenant", LOCAL_TENANT].map(str::to_owned).to_vec();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let env = environment(endpoints, home);
    let servers = Some(Servers::of(endpoints));
    deployment.start(home, DEMO, Start { servers, ..Start::plain(args, env, listen) })
}

/// Environment variables of a process of the pipeline.
fn environment(endpoints: &Endpoints, home: &Path) -> Vec<(&'static str, String)> {
    let mut environment = vec![
        ("WEIR_HOME", home.display().to_string()),
        ("KAFKA_BOOTSTRAP_SERVERS", endpoints.kafka.clone()),
        ("DATABASE_URL", endpoints.database_url.clone()),
    ];
    environment.extend(MEMORY.map(|(name, value)| (name, value.to_owned())));
    if let Some(registry) = &endpoints.registry {
        environment.push(("SCHEMA_REGISTRY_URL", registry.clone()));
    }
    environment
}

async fn wait_until_ready(deployment: &Deployment) -> anyhow::Result<()> {
    // Health is told in clear text.
    let client = client(&Client::default())?;
    let deadline = tokio::time::Instant::now() + READY_WITHIN;
    for process in &deployment.processes {
        let url = format!("{}/readyz", process.admin_url());
        while process.name != DEMO && !status::answers(&client, &url).await {
            if !process.is_alive() || tokio::time::Instant::now() >= deadline {
                bail!(
                    "{} did not get ready; its log is {} and ends:\n{}",
                    process.name,
                    process.log.display(),
                    process.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

fn print_places(deployment: &Deployment, endpoints: &Endpoints, client: &Client) {
    let gateway = deployment.gateway_url().unwrap_or_default();
    let query_api = deployment.query_api_url().unwrap_or_default();
    let mut lines = vec![
        format!("Kafka      {}", endpoints.kafka),
        format!("Postgres   {}", without_password(&endpoints.database_url)),
        format!("gateway    {gateway}/api/v1/events"),
        format!("query API  {query_api}/api/v1/audit"),
        "API key    `weir status --show-secrets` shows it".to_owned(),
    ];
    if let Some(registry) = &endpoints.registry {
        lines.insert(2, format!("registry   {registry}"));
    }
    lines.push(String::new());
    lines.push("try  weir query audit --limit 10".to_owned());
    lines.push("     weir query risk".to_owned());
    lines.push("     weir import cloudtrail DIR".to_owned());
    let trusted = client.ca_certificate.as_ref().filter(|_| query_api.starts_with("https"));
    let trusted = trusted.map(|file| format!("--cacert {} ", file.display())).unwrap_or_default();
    lines.push(format!(
        "     curl {trusted}-H \"Authorization: Bearer $WEIR_TOKEN\" '{query_api}/api/v1/audit?limit=1'"
    ));
    lines.push("stop weir down".to_owned());
    for line in lines {
        output::line(&line);
    }
}

/// Shows what flows until Ctrl-C, then stops the pipeline's processes; the servers stay for `weir down`.
async fn watch(config: &StackConfig) -> anyhow::Result<Outcome> {
    note("\nCtrl-C stops the pipeline\n");
    let stop = shutdown::on_signal();
    let mut flow = status::Flow::begin().await?;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                if let Err(error) = flow.show(&config.home).await {
                    tracing::debug!(error = format!("{error:#}"), "nothing to show this second");
                }
            }
        }
    }
    note("stopping");
    let _lock = Deployment::lock(config).await?;
    let mut deployment = Deployment::load(&config.home)?;
    stop_processes(&mut deployment, &config.home).await?;
    note("the pipeline is stopped, its servers run on: `weir up` continues, `weir down` stops them too");
    Ok(Outcome::Done)
}
