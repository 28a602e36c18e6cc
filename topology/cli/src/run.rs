//! `weir run`: one or more roles of the pipeline as a process of their own.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
};

use anyhow::{Context, bail};
use audit_log::keys::{PublicKey, Purpose as KeyPurpose};
use clap::Args;
use edge::{Listen, Listener, RenderMetrics, identity::Identities, tenants::Tenants};
use policies::InForce;
use processors::{
    Processor,
    audit::Audit,
    change_review::ChangeReview,
    compliance::Compliance,
    cost::Cost,
    retention::Retention,
    risk::{Risk, RuleSet},
};
use producers::{
    gateway::{Admin, Gateway, GatewayConfig, KafkaPublisher, KeyRingWatch, WaiversWatch},
    kafka::Purpose,
};
use sinks::{
    budget_standing::BudgetStanding,
    query_api::{CursorKey, Listeners, QueryApi, QueryConfig, Rates},
    read_models::{audit_entry::upkeep, reader_pool},
    retention::{self, RetentionConfig},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Outcome, admin_server,
    deployment::{GATEWAY, QUERY_API, SINKS},
    issuers,
    lag::{declared_stages, topics_of},
    place::Place,
    policy, prices,
    rules::in_force,
    settings::kafka_security,
    shutdown, status,
};
use topology::{
    budgets::GatewayBudgets,
    pipeline,
    runtime::{
        self, BatchLimits, Health, RunConfig,
        audit_topic::{self, AuditTopicConfig},
        observe::telemetry::{self, Telemetry},
        offline::log_ends::EndsReader,
        sign::{SignerConfig, WitnessAt},
    },
    topology::Stage,
};

/// Memory settings in the environment of Weir's processes; allocators read their options nowhere else. Freed
/// memory is kept for the next batch instead of being returned to the system. Pages have 4 KiB: with huge
/// pages of 2 MiB a process holds a fifth more, and is not faster. The Kafka client's memory lies in one arena
/// instead of one for each of its threads: a seventh less, as fast.
pub(super) const MEMORY: [(&str, &str); 3] =
    [("MIMALLOC_PURGE_DELAY", "-1"), ("MIMALLOC_ALLOW_THP", "0"), ("MALLOC_ARENA_MAX", "1")];

/// Arguments of `weir run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Stages by name (`weir topology show` lists them), `gateway`, `query-api`, `sinks` for every sink of the settings,
    /// or `sink.NAME` for one.
    #[arg(required = true)]
    roles: Vec<String>,
    /// Writers per stage, each with a consumer and a database connection of its own.
    #[arg(long, default_value = "1")]
    members: NonZeroUsize,
    /// URL of the scripted issuer that `weir up --issuer` has started.
    #[arg(long, hide = true, value_name = "URL")]
    issuer: Option<String>,
}

type Role = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// Runs until SIGTERM or Ctrl-C, then stops gracefully.
pub(super) async fn run(args: RunArgs, telemetry: &Telemetry) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let sinks = topology::siem::stages(place.settings.sinks()?);
    let names: Vec<&str> = sinks.iter().map(Stage::name).collect();
    let roles = Roles::parse(&args.roles, &names)?;
    let stop = shutdown::on_signal();
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let RunArgs { members, issuer, .. } = args;
    let process = Process { place, sinks, members, issuer, telemetry, stop: stop.clone() };
    for role in process.start(roles).await? {
        tasks.spawn(role);
    }
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        // One role that ends, for whatever reason, ends them all: half a process helps nobody.
        stop.cancel();
        outcome = outcome.and(ended.context("a role panicked").and_then(|ended| ended));
    }
    outcome.map(|()| Outcome::Done)
}

/// Authentication and limits of the services of one process.
#[derive(Clone)]
struct Callers {
    keys: KeyRingWatch,
    identities: Arc<Identities>,
    tenants: Tenants,
}

/// State that the roles of one process share.
struct Process<'a> {
    place: Place,
    /// The sinks of the settings.
    sinks: Vec<Stage>,
    members: NonZeroUsize,
    /// URL of the scripted issuer, if one runs.
    issuer: Option<String>,
    telemetry: &'a Telemetry,
    stop: CancellationToken,
}

impl Process<'_> {
    async fn start(&self, roles: Roles) -> anyhow::Result<Vec<Role>> {
        let mut started: Vec<Role> = Vec::new();
        let mut policies = InForce::own();
        let judges = |name: &String| name == ChangeReview::NAME || name == Compliance::NAME;
        if roles.gateway || roles.query_api || roles.stages.iter().any(judges) {
            let watched;
            (policies, watched) = policy::in_force::start(&self.place.settings.policies.sources())?;
            started.push(Box::pin(watched.follow(policies.clone(), self.stop.clone())));
        }
        if roles.gateway || roles.query_api {
            let (identities, watched) = issuers::start(&self.place.settings, self.issuer.as_deref())?;
            started.push(Box::pin(watched.follow(Arc::clone(&identities), self.stop.clone())));
            tokio::spawn({
                let identities = Arc::clone(&identities);
                async move { identities.prime().await }
            });
            let database = &self.place.endpoints.database_url;
            let peppers = self.place.peppers()?;
            let keys = runtime::keys::watch(database, peppers, runtime::keys::MAX_AGE, self.stop.clone());
            let (tenants, following) = runtime::tenants::follow(database, self.stop.clone());
            started.push(Box::pin(async move { following.await.context("following tenants' limits") }));
            let following = runtime::trail::follow(database, &tenants.trail, self.stop.clone());
            started.push(Box::pin(async move { following.await.context("writing down who asks") }));
            let callers = Callers { keys, identities, tenants };
            if roles.gateway {
                let (waivers, following) = runtime::waivers::follow(database, self.stop.clone());
                started.push(Box::pin(async move { following.await.context("following waivers") }));
                let callers = self.among_replicas(&callers, GATEWAY, &mut started);
                started.push(self.gateway(callers, (policies.clone(), waivers)).await?);
            }
            if roles.query_api {
                let callers = self.among_replicas(&callers, QUERY_API, &mut started);
                started.push(self.query_api(callers, &policies).await?);
            }
        }
        if !roles.stages.is_empty() {
            started.extend(roles.stages.iter().any(|name| name == Cost::NAME).then(|| self.outlook()));
            started.extend(self.stages(roles.stages, policies).await?);
        }
        Ok(started)
    }

    /// The callers of one service, whose limits its replicas grant together.
    fn among_replicas(&self, callers: &Callers, service: &'static str, started: &mut Vec<Role>) -> Callers {
        let database = &self.place.endpoints.database_url;
        let (replicas, following) = runtime::replicas::follow(database, service, self.stop.clone());
        started.push(Box::pin(async move { following.await.context("counting the replicas") }));
        let tenants = Tenants { replicas, ..callers.tenants.clone() };
        Callers { tenants, ..callers.clone() }
    }

    async fn gateway(
        &self,
        callers: Callers,
        (policies, waivers): (InForce, WaiversWatch),
    ) -> anyhow::Result<Role> {
        let Callers { keys, identities, tenants } = callers;
        let settings = &self.place.settings.gateway;
        let mut config = GatewayConfig { listen: settings.listen, ..GatewayConfig::default() };
        config.rates.per_key_per_minute = NonZeroU32::new(settings.requests_per_minute);
        config.identities = identities;
        config.tenants = tenants;
        config.quotas = settings.tenant_per_minute.quotas();
        config.tls = settings.tls.config("gateway")?;
        config.trusted_proxies = settings.trusted_proxies.parse()?;
        config.github = settings.github_webhook_secrets()?;
        config.policies = policies;
        config.waivers = waivers;
        let list = Arc::new(prices::in_use(&self.place.settings.prices)?);
        let standing = BudgetStanding::new(&self.place.endpoints.database_url, list)?;
        config.budgets = Some(Arc::new(GatewayBudgets::new(standing)));
        config.admin = Some(Admin { listen: settings.admin_listen, metrics: self.render_metrics() });
        config.metrics = settings.public_metrics.then(|| self.render_metrics());
        // First what can be wrong here; a client of Kafka takes its time to go.
        let gateway = Gateway::bind(config).await?;
        let producer = self.place.producer_config("gateway", Purpose::Gateway);
        let publisher = Arc::new(KafkaPublisher::new(producer, self.place.framing().await?)?);
        let (stop, database_url) = (self.stop.clone(), self.place.endpoints.database_url.clone());
        let relay = runtime::trail::publish(database_url, publisher.clone(), stop.clone());
        Ok(Box::pin(async move {
            tokio::spawn(relay);
            Ok(gateway.serve(publisher, keys, stop).await?)
        }))
    }

    async fn query_api(&self, callers: Callers, policies: &InForce) -> anyhow::Result<Role> {
        let Callers { keys, identities, tenants } = callers;
        let settings = &self.place.settings.query_api;
        let trusted_proxies = settings.trusted_proxies.parse()?;
        let tls = settings.tls.config("query_api")?;
        let main = Listen {
            tls,
            trusted_proxies: trusted_proxies.clone(),
            ..Listen::at("query API", settings.listen)
        };
        let listeners = Listeners {
            main: Listener::bind(main).await?,
            admin: Listener::bind(Listen::admin("query API admin", settings.admin_listen)).await?,
        };
        let stages = declared_stages(&self.place.settings)?;
        let ends = EndsReader::new(&self.place.endpoints.kafka, &kafka_security(), topics_of(&stages))?;
        let per_key_per_minute = NonZeroU32::new(settings.requests_per_minute);
        let config = QueryConfig {
            cursor_key: CursorKey::derived_from(&self.place.peppers()?.current),
            stages,
            log_ends: ends.watch(self.stop.clone()),
            identities,
            log_keys: self.place.log_keys()?.iter().map(ToString::to_string).collect(),
            controls: policy::controls(policies.clone()),
            rates: Rates { per_key_per_minute, ..Rates::default() },
            shares: settings.shares.limits(),
            tenants,
            trusted_proxies,
            metrics: settings.public_metrics.then(|| self.render_metrics()),
        };
        let connections =
            u32::try_from(config.shares.connections).context("[query_api.shares] connections")?;
        let pool = reader_pool(&self.place.endpoints.database_url, connections)?;
        let api = QueryApi::new(config, pool, keys);
        let (metrics, stop) = (self.render_metrics(), self.stop.clone());
        Ok(Box::pin(async move {
            api.serve(listeners, metrics, stop).await;
            Ok(())
        }))
    }

    /// Looks for findings about forecasts and anomalies of costs.
    fn outlook(&self) -> Role {
        let (database, stop) = (self.place.endpoints.database_url.clone(), self.stop.clone());
        Box::pin(async move {
            runtime::outlook::run(&database, stop).await;
            Ok(())
        })
    }

    /// The stages, and beside them their health and metrics.
    async fn stages(&self, names: Vec<String>, policies: InForce) -> anyhow::Result<Vec<Role>> {
        let endpoints = &self.place.endpoints;
        let mut config = RunConfig::new(&endpoints.kafka, &endpoints.database_url);
        config.kafka = kafka_security();
        config.members = self.members;
        config.limits = BatchLimits::shared_by(names.len() * self.members.get());
        config.tracing = self.telemetry.tracing();
        config.group_instance.clone_from(&self.place.settings.stage.group_instance);
        config.registry = self.place.registry()?.map(Arc::new);
        config.subject_secret = self.place.subject_secret()?;
        let health = Health::default();
        let address = self.place.settings.stage.admin_listen;
        let listener = Listener::bind(Listen::admin("stage admin", address)).await?;
        let admin = admin_server::serve(listener, health.clone(), self.render_metrics(), self.stop.clone());
        let mut started: Vec<Role> = vec![Box::pin(admin)];
        let mut rules = RuleSet::own();
        let (mut review, mut cost) = (ChangeReview::default(), Cost::default());
        if names.iter().any(|name| name == ChangeReview::NAME || name == Cost::NAME) {
            let prices = Arc::new(prices::in_use(&self.place.settings.prices)?);
            review = ChangeReview::new(Arc::clone(&prices), policies.clone());
            cost = Cost::new(prices);
        }
        if names.iter().any(|name| name == Risk::NAME) {
            let settings = &self.place.settings.rules;
            let watched;
            (rules, watched) = in_force::start(&settings.sources())?;
            started.push(Box::pin(watched.follow(rules.clone(), self.stop.clone())));
        }
        if names.iter().any(|name| name == Audit::NAME) {
            let (appended, follower) = sinks::log_store::handover();
            config.appended = Some(appended);
            let topic = AuditTopicConfig {
                bootstrap: endpoints.kafka.clone(),
                kafka: kafka_security(),
                database_url: endpoints.database_url.clone(),
            };
            let stop = self.stop.clone();
            started.push(Box::pin(async move {
                audit_topic::run(topic, follower, stop).await;
                Ok(())
            }));
            let signer = self.signer()?;
            let stop = self.stop.clone();
            started.push(Box::pin(async move {
                runtime::sign::run(signer, stop).await;
                Ok(())
            }));
            let upkeep = upkeep::keep_up(endpoints.database_url.clone(), self.stop.clone());
            started.push(Box::pin(async move {
                upkeep.await;
                Ok(())
            }));
        }
        if names.iter().any(|name| name == Retention::NAME) {
            let config = self.retention()?;
            let stop = self.stop.clone();
            started.push(Box::pin(async move {
                Box::pin(retention::keep(config, stop)).await;
                Ok(())
            }));
        }
        let compliance = Compliance::new(policies);
        let stop = self.stop.clone();
        let topology = pipeline::with_rules(rules, review, cost, compliance).and(self.sinks.clone());
        started.push(Box::pin(async move {
            runtime::run(&topology, &names, config, health, stop).await?;
            Ok(())
        }));
        Ok(started)
    }

    /// Configuration of the stage retention: its periods, secret and keys.
    fn retention(&self) -> anyhow::Result<RetentionConfig> {
        let secret = self.place.subject_secret()?.context(
            "the stage retention needs the secret of the audit log's subject keys to erase people's data: set \
             WEIR_AUDIT__SUBJECT_SECRET_FILE to the file that the stage audit has",
        )?;
        let policy =
            self.place.settings.retention.policy(self.place.signing_keys()?, self.place.log_keys()?)?;
        Ok(RetentionConfig { database_url: self.place.endpoints.database_url.clone(), secret, policy })
    }

    /// Signing keys of the audit log, and the witnesses that cosign.
    fn signer(&self) -> anyhow::Result<SignerConfig> {
        let witnesses = self.place.settings.audit.witnesses.iter().map(|text| {
            let (url, key) =
                text.trim().split_once(' ').context("a witness is written as <url> <public key>")?;
            let key = PublicKey::parse(key.trim(), KeyPurpose::Witness)
                .with_context(|| format!("the witness {text}"))?;
            anyhow::Ok(WitnessAt { url: url.to_owned(), key })
        });
        Ok(SignerConfig {
            database_url: self.place.endpoints.database_url.clone(),
            keys: self.place.signing_keys()?,
            witnesses: witnesses.collect::<anyhow::Result<_>>()?,
            client: status::client(&self.place.settings.client)?,
        })
    }

    fn render_metrics(&self) -> RenderMetrics {
        let metrics = self.telemetry.metrics();
        RenderMetrics::new(move || telemetry::render(&metrics))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Roles {
    gateway: bool,
    query_api: bool,
    stages: Vec<String>,
}

impl Roles {
    fn parse(names: &[String], sinks: &[&str]) -> anyhow::Result<Self> {
        let known = pipeline::declaration().stage_names();
        let mut roles = Self { gateway: false, query_api: false, stages: Vec::new() };
        for name in names {
            match name.as_str() {
                GATEWAY => roles.gateway = true,
                QUERY_API => roles.query_api = true,
                SINKS if sinks.is_empty() => bail!("the settings name no sink: [[sink]] in weir.toml"),
                SINKS => roles.stages.extend(sinks.iter().map(|&sink| sink.to_owned())),
                stage if known.contains(&stage) || sinks.contains(&stage) => {
                    roles.stages.push(stage.to_owned());
                }
                other => bail!(
                    "{other:?} is neither a stage nor a service; there are {}, {GATEWAY} and {QUERY_API}",
                    known.iter().chain(sinks).copied().collect::<Vec<_>>().join(", ")
                ),
            }
        }
        Ok(roles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_stages_and_services() {
        let parse_with = |names: &[&str], sinks: &[&str]| {
            Roles::parse(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), sinks)
        };
        let parse = |names: &[&str]| parse_with(names, &[]);
        let roles = parse(&["audit", "gateway"]).expect("both exist");
        assert_eq!(roles, Roles { gateway: true, query_api: false, stages: vec!["audit".to_owned()] });
        let error = parse(&["audits"]).expect_err("no such role").to_string();
        let known = format!("{}, gateway and query-api", pipeline::declaration().stage_names().join(", "));
        assert!(error.contains("\"audits\"") && error.contains(&known), "{error}");
        let sinks = ["sink.a", "sink.b"];
        assert_eq!(parse_with(&["sinks"], &sinks).expect("both").stages, sinks);
        assert_eq!(parse_with(&["sink.b"], &sinks).expect("one").stages, ["sink.b"]);
        assert!(parse(&["sinks"]).expect_err("none").to_string().contains("[[sink]]"));
        assert!(parse_with(&["sink.c"], &sinks).is_err());
    }
}
