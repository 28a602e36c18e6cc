//! Parts of tenants in the producer's send queue: an event counts until its delivery settles, also when nobody
//! waits for it any more.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use edge::tenants::Tenants;
use schemas::{Envelope, TenantId};

/// Size of an event beside the source's record or its own content, in bytes.
const BESIDE_RECORD_BYTES: usize = 256;

/// The send queue, as far as tenants fill it.
#[derive(Debug)]
pub(super) struct SendQueue {
    /// Limits of each tenant: a quarter of the queue.
    records: usize,
    bytes: usize,
    parts: Mutex<HashMap<TenantId, Weak<Part>>>,
    tenants: Tenants,
}

/// Events of one tenant that are queued or sent and not settled.
#[derive(Debug, Default)]
pub(super) struct Part {
    records: AtomicUsize,
    bytes: AtomicUsize,
}

impl SendQueue {
    pub(super) fn new(records: usize, bytes: usize, tenants: Tenants) -> Self {
        Self { records: records / 4, bytes: bytes / 4, parts: Mutex::default(), tenants }
    }

    /// The tenant's part, unless it is used up. A request is queued whole while anything is left of it.
    pub(super) fn part(&self, tenant: &TenantId) -> Option<Arc<Part>> {
        let part = self.part_of(tenant);
        let is_left =
            part.records.load(Relaxed) < self.records.max(1) && part.bytes.load(Relaxed) < self.bytes.max(1);
        if !is_left {
            self.tenants.refused(Some(tenant), "send_queue");
        }
        is_left.then_some(part)
    }

    fn part_of(&self, tenant: &TenantId) -> Arc<Part> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = parts.get(tenant).and_then(Weak::upgrade) {
            return part;
        }
        parts.retain(|_, part| part.strong_count() > 0);
        let part = Arc::default();
        parts.insert(tenant.clone(), Arc::downgrade(&part));
        part
    }
}

/// One event in the queue; its place is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Queued {
    part: Arc<Part>,
    bytes: usize,
}

impl Queued {
    pub(super) fn new(part: &Arc<Part>, envelope: &Envelope) -> Self {
        let bytes = size_of_event(envelope);
        part.records.fetch_add(1, Relaxed);
        part.bytes.fetch_add(bytes, Relaxed);
        Self { part: Arc::clone(part), bytes }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.part.records.fetch_sub(1, Relaxed);
        self.part.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// The approximate size: that of the source's record, or of the event itself if it has none.
fn size_of_event(envelope: &Envelope) -> usize {
    let of_record = envelope.native.as_ref().map(|native| native.record.len());
    let of_content = || {
        let mut written = Count(0);
        serde_json::to_writer(&mut written, &envelope.event).map_or(0, |()| written.0)
    };
    of_record.unwrap_or_else(of_content).saturating_add(BESIDE_RECORD_BYTES)
}

/// Counts what is written.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::{Around, SourceFormat};

    #[test]
    fn a_part_is_a_quarter_and_free_again_once_its_events_settle() {
        let queue = SendQueue::new(8, 1 << 20, Tenants::default());
        let [loud, quiet] = ["loud", "quiet"].map(|name| TenantId::new(name).expect("a tenant"));
        let text = r#"{"auditID":"1","verb":"get"}"#;
        let mapped = SourceFormat::KubernetesAudit.map_within(&loud, text, &Around::default());
        let event = mapped.expect("a record").envelope;
        let part = queue.part(&loud).expect("nothing is queued");
        let queued: Vec<Queued> = (0..2).map(|_| Queued::new(&part, &event)).collect();
        drop(part);
        assert!(queue.part(&loud).is_none() && queue.part(&quiet).is_some());
        drop(queued);
        assert!(queue.part(&loud).is_some());

        let narrow = SendQueue::new(1_000, 4 * BESIDE_RECORD_BYTES, Tenants::default());
        let part = narrow.part(&loud).expect("nothing is queued");
        let large = Queued::new(&part, &event);
        assert!(narrow.part(&loud).is_none(), "bytes count, too");
        drop((large, part));
        assert!(narrow.part(&loud).is_some());
        assert_eq!(narrow.parts.lock().expect("no test panics with it").len(), 1);
    }

    #[test]
    fn an_event_without_a_record_has_the_size_of_its_content() {
        let tenant = TenantId::new("acme").expect("a tenant");
        let text = serde_json::json!({"auditID": "1", "verb": "x".repeat(5_000)}).to_string();
        let mapped = SourceFormat::KubernetesAudit.map_within(&tenant, &text, &Around::default());
        let mut event = mapped.expect("a record").envelope;
        assert_eq!(size_of_event(&event), text.len() + BESIDE_RECORD_BYTES);
        event.native = None;
        assert!(size_of_event(&event) > 5_000 + BESIDE_RECORD_BYTES);
    }
}
