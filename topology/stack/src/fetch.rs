//! The servers' programs: from the cache, through Maven, or what is installed.

use super::error::tail;
use super::lock::Lock;
use super::run_as::{self, short_hash};
use super::{StackConfig, StackError, folder, java};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const POM: &str = include_str!("../../../compose/local/pom.xml");
/// Older ones lack what `kafka` writes into `server.properties`.
const OLDEST_KAFKA: u32 = 4;
/// The oldest PostgreSQL that Weir supports.
pub(super) const OLDEST_POSTGRES: u32 = 15;

/// A server of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Kafka,
    Postgres,
    Registry,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Kafka, Self::Postgres, Self::Registry];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kafka => "Kafka",
            Self::Postgres => "PostgreSQL",
            Self::Registry => "the schema registry",
        }
    }

    /// Its profile in the pom, and its folder in the cache and in the stack's home.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Registry => "registry",
        }
    }

    /// Entry that marks the part's folder in the stack's home from the start, and that foreign folders lack.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Kafka => "cluster-id",
            Self::Postgres => "server",
            Self::Registry => "logs",
        }
    }

    fn instead(self) -> &'static str {
        match self {
            Self::Kafka => {
                "set KAFKA_HOME to an unpacked Kafka 4, or KAFKA_BOOTSTRAP_SERVERS to a running one"
            }
            Self::Postgres => "install PostgreSQL 15 or later, or set DATABASE_URL to a running one",
            Self::Registry => "set SCHEMA_REGISTRY_URL to a running one",
        }
    }
}

/// Folders of the wanted programs.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The folder with Kafka's jars.
    pub(super) kafka: PathBuf,
    /// The folder with `initdb`, `postgres` and `pg_ctl`.
    pub(super) postgres: PathBuf,
    /// The folder with the registry's runner jar.
    pub(super) registry: PathBuf,
}

/// Finds the wanted servers' programs; fetches what is not in the cache, once for all processes that ask.
pub(super) fn provide(config: &StackConfig, wanted: &[Part]) -> Result<Sources, StackError> {
    if wanted.contains(&Part::Kafka) || wanted.contains(&Part::Registry) {
        java::find()?;
    }
    let cache = config.servers.join(short_hash(POM.as_bytes()));
    let _lock = Lock::acquire(config, &config.servers.join("servers.lock"))?;
    let missing: Vec<Part> = wanted
        .iter()
        .copied()
        .filter(|part| !(*part == Part::Postgres && config.postgres_bin.is_some()))
        .filter(|part| !cache.join(part.folder()).is_dir())
        .collect();
    let fetched = if missing.is_empty() { Ok(()) } else { fetch(config, &cache, &missing) };

    let mut sources = Sources::default();
    for part in wanted {
        let cached = cache.join(part.folder());
        let found = if cached.is_dir() { Some(cached) } else { None };
        match (part, found) {
            (Part::Postgres, _) if config.postgres_bin.is_some() => {
                sources.postgres = config.postgres_bin.clone().unwrap_or_default();
            }
            (Part::Kafka, Some(dir)) => sources.kafka = dir.join("libs"),
            (Part::Postgres, Some(dir)) => sources.postgres = unpacked(config, &dir)?.join("bin"),
            (Part::Registry, Some(dir)) => sources.registry = dir,
            (part, None) => {
                let installed = installed(config, *part);
                let Some(installed) = installed else { return Err(refusal(fetched, *part)) };
                config.say(&format!("using the installed {} in {}", part.name(), installed.display()));
                match part {
                    Part::Kafka => sources.kafka = installed,
                    Part::Postgres => sources.postgres = installed,
                    Part::Registry => sources.registry = installed,
                }
            }
        }
    }
    Ok(sources)
}

fn refusal(fetched: Result<(), StackError>, part: Part) -> StackError {
    match fetched {
        Err(StackError::NoMaven { .. }) | Ok(()) => {
            StackError::NoMaven { server: part.name(), instead: part.instead() }
        }
        Err(error) => error,
    }
}

/// Runs Maven into a draft and moves each server into the cache when it is complete.
fn fetch(config: &StackConfig, cache: &Path, parts: &[Part]) -> Result<(), StackError> {
    let first = parts.first().copied().unwrap_or(Part::Kafka);
    let Some(maven) = java::on_path("mvn") else {
        return Err(StackError::NoMaven { server: first.name(), instead: first.instead() });
    };
    let profiles: Vec<&str> = parts.iter().map(|part| part.folder()).collect();
    config.say(&format!("fetching {} through Maven (once)", profiles.join(", ")));

    folder::clear(&config.servers, "draft-")?;
    let draft = config.servers.join(format!("draft-{}", std::process::id()));
    fs::create_dir_all(&draft).map_err(StackError::io("create", &draft))?;
    let pom = draft.join("pom.xml");
    fs::write(&pom, POM).map_err(StackError::io("write", &pom))?;

    let mut command = Command::new(maven);
    command.envs(java::environment());
    command.args(["--quiet", "--batch-mode", "--file"]).arg(&pom).arg("generate-resources");
    command.args(["--activate-profiles", &profiles.join(",")]);
    command.arg(format!("-Dservers={}", draft.display()));
    if let Some(platform) = platform() {
        command.arg(format!("-Dpostgres.platform={platform}"));
    }
    let output = command.stdin(Stdio::null()).output().map_err(StackError::io("run", Path::new("mvn")))?;
    if !output.status.success() {
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        return Err(StackError::Fetch { output: tail(&said) });
    }
    fs::create_dir_all(cache).map_err(StackError::io("create", cache))?;
    for part in parts {
        let (from, to) = (draft.join(part.folder()), cache.join(part.folder()));
        fs::rename(&from, &to).map_err(StackError::io("move", &from))?;
    }
    folder::remove(&draft)?;
    Ok(())
}

/// The name that the PostgreSQL binaries have for this machine; none where there are none.
fn platform() -> Option<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Some("linux-amd64"),
        ("linux", "aarch64") => Some("linux-arm64v8"),
        ("macos", "x86_64") => Some("darwin-amd64"),
        ("macos", "aarch64") => Some("darwin-arm64v8"),
        _ => None,
    }
}

/// The tree inside the fetched archive, unpacked where the user that runs PostgreSQL can reach it.
fn unpacked(config: &StackConfig, fetched: &Path) -> Result<PathBuf, StackError> {
    let place = if run_as::RunAs::for_postgres()?.is_some() {
        run_as::reachable(&config.servers, "servers")?
    } else {
        config.servers.clone()
    };
    let tree = place.join(format!("postgres-{}", short_hash(POM.as_bytes())));
    if tree.is_dir() {
        return Ok(tree);
    }
    let archive = fs::read_dir(fetched)
        .map_err(StackError::io("read", fetched))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "txz"))
        .ok_or_else(|| StackError::Unusable {
            what: "the PostgreSQL archive",
            path: fetched.to_owned(),
            reason: "it holds no .txz; delete this folder and start again".to_owned(),
        })?;
    let draft = tree.with_extension("new");
    folder::remove(&draft)?;
    let file = fs::File::open(&archive).map_err(StackError::io("open", &archive))?;
    tar::Archive::new(xz2::read::XzDecoder::new(std::io::BufReader::new(file)))
        .unpack(&draft)
        .map_err(StackError::io("unpack", &archive))?;
    run_as::open_tree(&draft)?;
    fs::rename(&draft, &tree).map_err(StackError::io("rename", &draft))?;
    Ok(tree)
}

/// Server that is installed on this machine.
fn installed(config: &StackConfig, part: Part) -> Option<PathBuf> {
    match part {
        Part::Kafka => {
            let libs = config.kafka_home.as_ref()?.join("libs");
            (kafka_version(&libs)? >= OLDEST_KAFKA).then_some(libs)
        }
        Part::Postgres => installed_postgres(),
        Part::Registry => None,
    }
}

/// From the name of Kafka's own jar, `kafka_2.13-4.3.1.jar`.
fn kafka_version(libs: &Path) -> Option<u32> {
    fs::read_dir(libs)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find_map(|name| name.strip_prefix("kafka_2.13-")?.split('.').next()?.parse().ok())
}

/// The newest of what distributions and Homebrew install, and what `pg_config` names.
fn installed_postgres() -> Option<PathBuf> {
    let versions =
        |dir: &str| fs::read_dir(dir).into_iter().flatten().filter_map(|entry| entry.ok().map(|e| e.path()));
    let named = java::on_path("pg_config").and_then(|program| {
        let answer = Command::new(program).arg("--bindir").stdin(Stdio::null()).output().ok()?;
        Some(PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim()))
    });
    versions("/usr/lib/postgresql")
        .chain(versions("/opt/homebrew/opt"))
        .chain(versions("/usr/local/opt"))
        .map(|dir| dir.join("bin"))
        .chain([PathBuf::from("/usr/bin")])
        .chain(named)
        .filter_map(|bin| Some((postgres_version(&bin)?, bin)))
        .filter(|(version, _)| *version >= OLDEST_POSTGRES)
        .max()
        .map(|(_, bin)| bin)
}

/// The major version that `postgres` in `bin` says it is; none unless `initdb` and `pg_ctl` are there too.
pub(super) fn postgres_version(bin: &Path) -> Option<u32> {
    if !["initdb", "pg_ctl", "postgres"].iter().all(|program| bin.join(program).is_file()) {
        return None;
    }
    let answer = Command::new(bin.join("postgres")).arg("--version").stdin(Stdio::null()).output().ok()?;
    postgres_major(&String::from_utf8_lossy(&answer.stdout))
}

/// `postgres (PostgreSQL) 18.3`, `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`, `… 19devel`.
fn postgres_major(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    version.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pom_has_a_profile_for_every_server_and_pins_each() {
        for part in Part::ALL {
            assert!(POM.contains(&format!("<id>{}</id>", part.folder())), "{}", part.name());
        }
        let versions: Vec<&str> = POM.lines().filter(|line| line.trim().starts_with("<version>")).collect();
        assert!(
            versions.len() > 5 && versions.iter().all(|line| !line.contains("LATEST") && !line.contains('['))
        );
        assert!(platform().is_none_or(|platform| POM.contains(platform)), "the pom lists the platforms");
    }

    #[test]
    fn versions_are_read_as_the_servers_print_them() {
        assert_eq!(postgres_major("postgres (PostgreSQL) 18.3\n"), Some(18));
        assert_eq!(postgres_major("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"), Some(15));
        assert_eq!(postgres_major("postgres (PostgreSQL) 19devel"), Some(19));
        assert_eq!(postgres_major("bash: postgres: not found"), None);

        let libs = tempfile::tempdir().expect("a folder");
        assert_eq!(kafka_version(libs.path()), None);
        fs::write(libs.path().join("kafka_2.13-3.9.1.jar"), "").expect("written");
        assert_eq!(kafka_version(libs.path()), Some(3));
    }

    #[test]
    fn without_maven_the_message_says_what_to_install() {
        let error = refusal(Err(StackError::NoMaven { server: "", instead: "" }), Part::Postgres).to_string();
        for words in ["PostgreSQL", "apt-get install maven", "brew install maven", "DATABASE_URL"] {
            assert!(error.contains(words), "{error}");
        }
    }
}
