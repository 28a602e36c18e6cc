//! People, workloads, accounts and projects of an organisation: invented names, reserved domains and
//! addresses only.

use schemas::{
    Source, TenantId,
    events::{Actor, ActorKind},
};

use super::dice::Dice;

const FIRST_NAMES: [&str; 24] = [
    "Ada", "Bela", "Cleo", "Dario", "Elin", "Farid", "Greta", "Hana", "Ivo", "Jonna", "Kofi", "Lena",
    "Mirko", "Noor", "Oskar", "Petra", "Quirin", "Rosa", "Sami", "Talia", "Udo", "Vera", "Wanda", "Yusuf",
];
const LAST_NAMES: [&str; 24] = [
    "Abel", "Brandt", "Castell", "Dorn", "Ekman", "Fontane", "Gruber", "Holt", "Ilves", "Janda", "Kessler",
    "Lind", "Marek", "Nyberg", "Okafor", "Prell", "Quandt", "Rask", "Sorel", "Tamm", "Urban", "Varga",
    "Winter", "Zeller",
];
const SERVICES: [&str; 14] = [
    "checkout-api",
    "ledger",
    "catalogue",
    "search-index",
    "mail-relay",
    "image-resizer",
    "session-store",
    "fraud-scorer",
    "report-builder",
    "stock-sync",
    "price-feed",
    "web-frontend",
    "partner-gateway",
    "audit-shipper",
];
const PROJECTS: [&str; 8] =
    ["storefront", "payments", "logistics", "insights", "identity", "platform", "mobile", "partners"];
const AGENTS: [&str; 6] = [
    "aws-cli/2.27.41 md/awscrt#0.26.1 ua/2.1 os/linux#6.8.0-60-generic md/arch#x86_64 lang/python#3.13.4 \
     md/pyimpl#CPython m/b,E,Z cfg/retry-mode#standard md/installer#exe md/prompt#off md/command#s3.cp",
    "Boto3/1.38.32 md/Botocore#1.38.32 ua/2.1 os/linux#6.1.134-152.225.amzn2023.x86_64 md/arch#x86_64 \
     lang/python#3.12.10 md/pyimpl#CPython m/Z,b,e cfg/retry-mode#legacy Botocore/1.38.32",
    "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24.3 md/GOOS#linux md/GOARCH#amd64 api/s3#1.79.3 m/E,e,n",
    "APN/1.0 HashiCorp/1.0 Terraform/1.12.1 (+https://www.terraform.io) terraform-provider-aws/5.99.1 \
     (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.23.8",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36",
    "aws-sdk-rust/1.3.7 os/linux lang/rust/1.87.0 md/tokio-rt api/dynamodb/1.76.1 app/stock-sync",
];
const REGIONS: [&str; 4] = ["eu-central-1", "eu-west-1", "us-east-1", "ap-southeast-2"];
const UPPER: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// One tenant's people and machines.
#[derive(Debug, Clone)]
pub(super) struct Organisation {
    pub(super) tenant: TenantId,
    pub(super) accounts: Vec<Account>,
    /// People, ordered by how often they appear.
    pub(super) people: Vec<Identity>,
    pub(super) workloads: Vec<Identity>,
    pub(super) pipelines: Vec<Identity>,
    pub(super) projects: Vec<Project>,
    pub(super) billing_account: String,
}

/// A cloud account with its resources.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) source: Source,
    pub(super) region: &'static str,
    pub(super) buckets: Vec<String>,
    pub(super) instances: Vec<String>,
    pub(super) secrets: Vec<String>,
    pub(super) keys: Vec<String>,
    pub(super) databases: Vec<String>,
    pub(super) tables: Vec<String>,
}

/// A person, workload or pipeline: the actor, and its `userIdentity` around the session's beginning.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) account: usize,
    pub(super) actor: Actor,
    /// Short name: `ada.abel`, `checkout-api`.
    pub(super) login: String,
    pub(super) json_head: String,
    pub(super) json_tail: String,
}

/// A software project.
#[derive(Debug, Clone)]
pub(super) struct Project {
    pub(super) id: &'static str,
    pub(super) source: Source,
    pub(super) account: usize,
    pub(super) services: Vec<&'static str>,
}

impl Organisation {
    pub(super) fn new(tenant: TenantId, dice: &mut Dice) -> Self {
        let accounts: Vec<Account> = (0..4).map(|at| Account::new(at, dice)).collect();
        let people = (0..48).map(|at| person(at, &accounts, dice)).collect();
        let workloads = SERVICES.iter().map(|name| workload(name, &accounts, dice)).collect();
        let pipelines = PROJECTS.iter().map(|name| pipeline(name, &accounts, dice)).collect();
        let projects = PROJECTS.iter().enumerate().map(|(at, id)| Project {
            id,
            source: source(format!("https://ci.example.com/{tenant}/{id}")),
            account: at % accounts.len(),
            services: SERVICES.iter().copied().skip(at).step_by(PROJECTS.len()).collect(),
        });
        let projects = projects.collect();
        let billing_account = digits(12, dice);
        Self { tenant, accounts, people, workloads, pipelines, projects, billing_account }
    }
}

impl Account {
    fn new(at: usize, dice: &mut Dice) -> Self {
        let id = digits(12, dice);
        let region = REGIONS[at % REGIONS.len()];
        let named = |prefix: &'static str, count: usize, dice: &mut Dice| -> Vec<String> {
            let mut one = || {
                let mut name = prefix.to_owned();
                dice.hex(17, &mut name);
                name
            };
            (0..count).map(|_| one()).collect()
        };
        let of_services = |suffix: &str| SERVICES.iter().map(|name| format!("{name}{suffix}")).collect();
        let mut key = || {
            let mut arn = format!("arn:aws:kms:{region}:{id}:key/");
            dice.uuid(&mut arn);
            arn
        };
        let keys = (0..4).map(|_| key()).collect();
        let secret = |name: &&str| {
            format!("arn:aws:secretsmanager:{region}:{id}:secret:production/{name}/database-Qx7TzP")
        };
        Self {
            source: source(format!("aws://{id}")),
            region,
            buckets: SERVICES.iter().map(|name| format!("example-{name}-{region}")).collect(),
            instances: named("i-0", 24, dice),
            secrets: SERVICES.iter().map(secret).collect(),
            keys,
            databases: of_services("-db"),
            tables: of_services("-state"),
            id,
        }
    }
}

fn person(at: usize, accounts: &[Account], dice: &mut Dice) -> Identity {
    // 24 × 24 pairs, each met once: a step of 25 is coprime to 576.
    let (first, last) = (FIRST_NAMES[at % 24], LAST_NAMES[(at + at / 24 * 7) % 24]);
    let login = format!("{}.{}", first.to_lowercase(), last.to_lowercase());
    let email = format!("{login}@example.com");
    let role =
        *dice.pick(&["Developer", "Developer", "Developer", "ReadOnly", "Operations", "Administrator"]);
    let mut role_name = format!("AWSReservedSSO_{role}_");
    dice.hex(16, &mut role_name);
    let ip = format!("203.0.113.{}", 10 + at);
    let account = at % accounts.len();
    let agent = if at.is_multiple_of(3) { AGENTS[4] } else { AGENTS[0] };
    session(
        Session { login, account, role: role_name, name: email, ip, agent, mfa: at % 11 != 10 },
        accounts,
        dice,
    )
}

fn workload(name: &str, accounts: &[Account], dice: &mut Dice) -> Identity {
    let account = dice.index(accounts.len());
    let instance = dice.pick(&accounts[account].instances).clone();
    let ip = format!("10.{}.{}.{}", dice.below(64), dice.below(256), 4 + dice.below(250));
    let agent = AGENTS[[1, 2, 5][dice.index(3)]];
    let role = format!("{name}-production");
    session(
        Session { login: name.into(), account, role, name: instance, ip, agent, mfa: false },
        accounts,
        dice,
    )
}

fn pipeline(project: &str, accounts: &[Account], dice: &mut Dice) -> Identity {
    let login = format!("{project}-pipeline");
    let ip = format!("198.51.100.{}", 20 + dice.below(40));
    let (account, name) = (dice.index(accounts.len()), format!("run-{project}"));
    let role = format!("deploy-{project}");
    session(Session { login, account, role, name, ip, agent: AGENTS[3], mfa: false }, accounts, dice)
}

struct Session {
    login: String,
    account: usize,
    role: String,
    name: String,
    ip: String,
    agent: &'static str,
    mfa: bool,
}

fn session(session: Session, accounts: &[Account], dice: &mut Dice) -> Identity {
    let Session { login, account, role, name, ip, agent, mfa } = session;
    let id = &accounts[account].id;
    let mut principal = "AROA".to_owned();
    dice.letters(17, UPPER, &mut principal);
    let mut key = "ASIA".to_owned();
    dice.letters(16, UPPER, &mut key);
    let arn = format!("arn:aws:sts::{id}:assumed-role/{role}/{name}");
    let role_arn = format!("arn:aws:iam::{id}:role/{role}");
    let json_head = format!(
        r#"{{"type":"AssumedRole","principalId":"{principal}:{name}","arn":"{arn}","accountId":"{id}","accessKeyId":"{key}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"{principal}","arn":"{role_arn}","accountId":"{id}","userName":"{role}"}},"attributes":{{"creationDate":""#
    );
    let delivery = if name.starts_with("i-") { r#","ec2RoleDelivery":"2.0""# } else { "" };
    let json_tail = format!(r#"","mfaAuthenticated":"{mfa}"}}{delivery}}}}}"#);
    let actor = Actor {
        kind: ActorKind::Role,
        id: arn,
        name: Some(format!("{role}/{name}")),
        account: Some(id.clone()),
        ip: Some(ip),
        user_agent: Some(agent.into()),
        mfa: Some(mfa),
        roles: vec![role_arn],
        session: Some(key),
    };
    Identity { account, actor, login, json_head, json_tail }
}

fn digits(count: usize, dice: &mut Dice) -> String {
    let mut text = String::with_capacity(count);
    dice.letters(1, b"123456789", &mut text);
    dice.letters(count - 1, b"0123456789", &mut text);
    text
}

pub(super) fn source(uri: String) -> Source {
    Source::new(uri).expect("made of names without spaces")
}
