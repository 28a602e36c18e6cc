//! `weir witness`: cosigns checkpoints of other people's logs, if they follow what it has seen of them.
//!
//! For another machine and another owner than the log's. It keeps the last checkpoint of each log in a folder, and
//! stores it before it cosigns, so that it never cosigns two pasts of one log.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use audit_log::{
    Hash,
    checkpoint::SignedCheckpoint,
    keys::{self, PrivateKey, PublicKey, Purpose},
    witness::{AddCheckpoint, Refusal, Seen, decide, origin_of},
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use clap::Args;
use edge::{Listen, Listener, RenderMetrics};
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use super::{Outcome, output::note, place, shutdown};

/// The longest request that is read.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Arguments of `weir witness`.
#[derive(Debug, Args)]
pub(super) struct WitnessArgs {
    /// The witness's signing key; `weir audit key --new NAME` makes one.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The public key of a deployment whose logs are witnessed, or a file of such keys.
    #[arg(long = "log", value_name = "KEY", required = true)]
    logs: Vec<String>,
    /// Folder that stores the last checkpoints.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8646")]
    listen: SocketAddr,
}

/// State that the handlers share.
struct Witness {
    key: PrivateKey,
    deployments: Vec<PublicKey>,
    dir: PathBuf,
    /// One request at a time: a decision must be stored before the next request is checked.
    turn: Mutex<()>,
}

/// Serves until SIGTERM or Ctrl-C.
pub(super) async fn witness(args: WitnessArgs, metrics: RenderMetrics) -> anyhow::Result<Outcome> {
    let key = keys::parse_all(&place::read(&args.key)?)
        .with_context(|| format!("the key in {}", args.key.display()))?;
    let [key] = <[PrivateKey; 1]>::try_from(key).map_err(|_| anyhow::anyhow!("a witness has one key"))?;
    let mut deployments = Vec::new();
    for text in &args.logs {
        let path = Path::new(text);
        let text = if path.is_file() { place::read(path)? } else { text.clone() };
        deployments.extend(place::public_keys(&text, Purpose::Log)?);
    }
    if deployments.is_empty() {
        bail!("no log is named: --log takes the public key of a deployment");
    }
    fs::create_dir_all(&args.dir).with_context(|| format!("creating {}", args.dir.display()))?;
    note(&format!("witness {}", key.public(Purpose::Witness)));
    let listener = Listener::bind(Listen::at("witness", args.listen)).await?;
    let witness = Witness { key, deployments, dir: args.dir, turn: Mutex::new(()) };
    listener.serve(router(witness, metrics), shutdown::on_signal()).await;
    Ok(Outcome::Done)
}

fn router(witness: Witness, metrics: RenderMetrics) -> Router {
    let key = witness.key.public(Purpose::Witness).to_string();
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/key", get(move || async move { key }))
        .route("/metrics", get(move || async move { metrics.answer() }))
        .route("/livez", get(|| async { "live" }))
        .route("/readyz", get(|| async { "ready" }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::new(witness))
}

/// C2SP tlog-witness, `add-checkpoint`.
async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let _turn = witness.turn.lock().await;
    match witness.add(&body, now) {
        Ok(line) => (StatusCode::OK, line).into_response(),
        Err(NotCosigned::Refused(Refusal::Conflict(size))) => {
            let headers = [(header::CONTENT_TYPE, "text/x.tlog.size")];
            (StatusCode::CONFLICT, headers, format!("{size}\n")).into_response()
        }
        Err(NotCosigned::Refused(refusal)) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            (status, format!("{refusal}\n")).into_response()
        }
        Err(NotCosigned::Failed(failure)) => {
            error!(error = format!("{failure:#}"), "cannot store a checkpoint, so it is not cosigned");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Reason for which a request is answered without a signature.
enum NotCosigned {
    Refused(Refusal),
    Failed(anyhow::Error),
}

impl From<Refusal> for NotCosigned {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<anyhow::Error> for NotCosigned {
    fn from(failure: anyhow::Error) -> Self {
        Self::Failed(failure)
    }
}

impl Witness {
    fn add(&self, body: &[u8], now: u64) -> Result<String, NotCosigned> {
        let body = str::from_utf8(body).map_err(|_| Refusal::Malformed)?;
        let request = AddCheckpoint::parse(body)?;
        let origin = origin_of(&request)?;
        let file = self.file_of(&origin);
        let seen = Self::seen(&file)?;
        let signed = decide(&request, &self.deployments, seen).inspect_err(|refusal| match refusal {
            // A signer that has not heard of the last answer asks from another size; that is no other past.
            Refusal::Conflict(size) if *size != request.old_size => {
                info!(origin, %refusal, "a checkpoint does not follow the last one");
            }
            Refusal::Inconsistent | Refusal::Conflict(_) => {
                metrics::counter!("weir_witness_refusals_total", "status" => refusal.status().to_string())
                    .increment(1);
                warn!(origin, %refusal, "a checkpoint has another past, and is not cosigned");
            }
            Refusal::Malformed | Refusal::Unsigned | Refusal::UnknownLog(_) => {}
        })?;
        self.keep(&file, &request.note)?;
        info!(origin, size = signed.checkpoint.size, "cosigned");
        Ok(signed.cosign(&self.key, now).map_err(anyhow::Error::from)?)
    }

    fn file_of(&self, origin: &str) -> PathBuf {
        self.dir.join(format!("{}.checkpoint", Hash::of(origin.as_bytes())))
    }

    fn seen(file: &Path) -> anyhow::Result<Option<Seen>> {
        if !file.exists() {
            return Ok(None);
        }
        let note = place::read(file)?;
        let signed =
            SignedCheckpoint::parse(&note).with_context(|| format!("{} is damaged", file.display()))?;
        Ok(Some((&signed.checkpoint).into()))
    }

    /// Written beside and renamed, so that there is a whole one at any moment; on disk before this returns.
    fn keep(&self, file: &Path, note: &str) -> anyhow::Result<()> {
        let new = file.with_extension("new");
        let mut written = fs::File::create(&new).with_context(|| format!("creating {}", new.display()))?;
        written.write_all(note.as_bytes())?;
        written.sync_all()?;
        fs::rename(&new, file)?;
        Ok(fs::File::open(&self.dir)?.sync_all()?)
    }
}
