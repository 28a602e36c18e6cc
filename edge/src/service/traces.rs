//! The traces that a request belongs to (W3C Trace Context).

use http::HeaderMap;
use opentelemetry::{propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use schemas::{Envelope, TraceContext};
use tracing::{Span, debug};
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// Maximum length of a forwarded `tracestate`; W3C asks for at least 512.
const MAX_TRACESTATE: usize = 512;

/// The traces that a request belongs to.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    /// The trace context sent by the client, in which events without their own were created.
    pub incoming: Option<TraceContext>,
    /// The request's own span, in which its records travel.
    pub hop: Option<TraceContext>,
}

impl Traces {
    /// Connects the span with the trace in the headers, and returns the traces of the request.
    pub(super) fn of(span: &Span, headers: &HeaderMap) -> Self {
        let w3c = TraceContextPropagator::new();
        let context = w3c.extract(&HeaderExtractor(headers));
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let incoming = context.span().span_context().is_valid().then(|| text(TRACEPARENT)).flatten().map(
            |traceparent| TraceContext {
                traceparent,
                tracestate: text(TRACESTATE).filter(|state| state.len() <= MAX_TRACESTATE),
            },
        );
        if incoming.is_some() && span.set_parent(context).is_err() {
            debug!("cannot set the span's parent: tracing is off, or the span has begun");
        }
        let mut injected = HeaderMap::new();
        w3c.inject_context(&span.context(), &mut HeaderInjector(&mut injected));
        let text = |name: &str| injected.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let hop = text(TRACEPARENT).map(|traceparent| TraceContext {
            traceparent,
            tracestate: text(TRACESTATE).filter(|state| !state.is_empty()),
        });
        Self { incoming, hop }
    }

    /// The id of the request's trace, 32 hexadecimal digits.
    pub(super) fn id(&self) -> Option<&str> {
        // version-traceid-parentid-flags
        self.hop.as_ref().or(self.incoming.as_ref()).and_then(|context| context.traceparent.split('-').nth(1))
    }

    /// The event; if it has no trace of its own, with the request's.
    pub fn around(&self, mut event: Envelope) -> Envelope {
        if event.trace.is_none() {
            event.trace = self.incoming.as_ref().or(self.hop.as_ref()).cloned();
        }
        event
    }
}
