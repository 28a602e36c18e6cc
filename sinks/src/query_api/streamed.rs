//! Answers without a limit: made page by page while they are taken.
//!
//! Each page is a query of its own within the tenant's share, and where the share is used up the answer
//! waits. An answer that ends as HTTP ends an answer is whole; one that could not be made to its end is cut
//! off.

use std::{error::Error, io, sync::atomic::Ordering::Relaxed, time::Duration};

use axum::body::{Body, Bytes};
use edge::api_error::ApiError;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use schemas::{TenantId, problem::ProblemKind};

use super::{
    Api,
    body::{Answer, taken},
};

/// Attempts to get a turn for one page before the answer is cut off.
const TRIES: u32 = 60;
/// The longest time between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// An answer on its way.
pub(super) trait Pages: Send + 'static {
    /// The lines of the next page.
    fn page(&mut self) -> impl Future<Output = Result<Answer<Vec<u8>>, ApiError>> + Send;
    /// Whether the last page was given.
    fn is_over(&self) -> bool;
    /// API that answers, and the tenant that it answers to.
    fn of(&self) -> (&Api, &TenantId);
}

/// The body of an answer. Its first page decides whether there is one at all: a refusal is one with a status.
pub(super) async fn streamed(mut head: Vec<u8>, mut pages: impl Pages) -> Result<Body, ApiError> {
    let first = pages.page().await?.map(|lines| {
        head.extend(lines);
        head
    });
    let first = stream::iter([Ok(body(first))]);
    Ok(Body::from_stream(first.chain(rest(pages)).map_ok(data).try_flatten()))
}

/// Lines as in RFC 4180.
pub(super) fn csv_lines<L, C>(lines: impl IntoIterator<Item = L>) -> Result<Vec<u8>, ApiError>
where
    L: IntoIterator<Item = C>,
    C: AsRef<[u8]>,
{
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for line in lines {
        writer.write_record(line).map_err(|error| unwritable(&error))?;
    }
    writer.into_inner().map_err(|error| unwritable(&error))
}

/// Problem of a line that cannot be written: an internal error.
pub(super) fn unwritable(error: &dyn Error) -> ApiError {
    tracing::error!(%error, "cannot serialise an entry for an export");
    ApiError::internal()
}

fn body(lines: Answer<Vec<u8>>) -> Body {
    taken(Bytes::from(lines.value), lines.memory)
}

fn data(body: Body) -> impl Stream<Item = Result<Bytes, io::Error>> {
    body.into_data_stream().map_err(io::Error::other)
}

/// The pages after the first, each asked for once the one before was taken.
fn rest(pages: impl Pages) -> impl Stream<Item = Result<Body, io::Error>> {
    stream::try_unfold(pages, |mut pages| async move {
        if pages.is_over() {
            return Ok(None);
        }
        let lines = patiently(&mut pages).await?;
        Ok(Some((body(lines), pages)))
    })
}

/// The next page, however often its turn has to be waited for.
async fn patiently(pages: &mut impl Pages) -> Result<Answer<Vec<u8>>, io::Error> {
    let mut tries = 0;
    loop {
        let refused = match pages.page().await {
            Ok(lines) => return Ok(lines),
            Err(refused) => refused,
        };
        tries += 1;
        let (api, tenant) = pages.of();
        if !may_pass(&refused) || tries == TRIES || api.stopping.load(Relaxed) {
            let why = refused.problem();
            tracing::warn!(%tenant, why = %why.title, tries, "an export is cut off");
            return Err(io::Error::other("the rest of the export could not be read"));
        }
        tokio::time::sleep(Duration::from_secs(tries.into()).min(LONGEST_PAUSE)).await;
    }
}

/// Whether a retry of the same query may succeed.
fn may_pass(refused: &ApiError) -> bool {
    let passing = [
        ProblemKind::QuotaExceeded,
        ProblemKind::DatabaseUnavailable,
        ProblemKind::Overloaded,
        ProblemKind::QueryTooSlow,
    ];
    passing.iter().any(|kind| refused.problem().slug() == kind.slug())
}
