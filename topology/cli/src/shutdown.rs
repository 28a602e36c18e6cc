//! Shutdown signals of a command.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled by Ctrl-C or SIGTERM. A second signal ends the process at once, as people expect who press Ctrl-C twice.
pub(super) fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        one().await;
        told.cancel();
        one().await;
        std::process::exit(130);
    });
    token
}

/// Waits for one signal to stop.
async fn one() {
    let interrupt = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be caught; only Ctrl-C stops gracefully");
            drop(interrupt.await);
        }
    }
}
