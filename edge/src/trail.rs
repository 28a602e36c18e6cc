//! Admissions and refusals, gathered in memory until they become events of the audit log.
//!
//! Refusals are counted by tenant, credential, reason and minute, so that whoever floods a service with bad
//! requests adds one event a minute and not one a request. What must not happen without an event
//! ([`Trail::record`]) waits until the event is stored.

mod events;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use chrono::{DurationRound as _, TimeDelta};
use schemas::{
    TenantId, Timestamp,
    access::{KeyFault, Principal, RefusedKey},
    events::{Actor, ActorKind},
};
use tokio::sync::{mpsc, oneshot};

pub use self::events::{AccessEvent, SOURCE, export_begun, export_ended, roles_changed, signed_in};

/// Credentials of one tenant that are told apart within a minute; refusals of further ones count together.
const MAX_CREDENTIALS: usize = 256;
/// Tenants, reasons and credentials of one minute together.
const MAX_REFUSALS: usize = 20_000;
/// Principals whose use is not written down yet.
const MAX_USES: usize = 50_000;
/// Addresses and route classes that an event names.
const MAX_NAMED: usize = 8;
/// Longest a caller waits for an event to be stored.
const STORED_WITHIN: Duration = Duration::from_secs(5);

/// Reason of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The secret is not that of the key.
    WrongSecret,
    /// No secret of the tenant's signs the webhook.
    WrongSignature,
    /// The key has ended.
    KeyExpired,
    /// The key was revoked.
    KeyRevoked,
    /// The key may not be used from that address.
    ForeignNetwork,
    /// The issuer signed the token, and it does not hold: it has expired, or is for another service.
    TokenRefused,
    /// The principal may not do what it asked for.
    Forbidden,
    /// The credential asks too often.
    RateLimited,
    /// The tenant has used its share up.
    QuotaExceeded,
}

impl Reason {
    /// The code in events and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::WrongSecret => "wrong-secret",
            Self::WrongSignature => "wrong-signature",
            Self::KeyExpired => "key-expired",
            Self::KeyRevoked => "key-revoked",
            Self::ForeignNetwork => "foreign-network",
            Self::TokenRefused => "token-refused",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate-limited",
            Self::QuotaExceeded => "quota-exceeded",
        }
    }

    /// Whether it is the credential that does not hold, rather than what was asked for.
    pub const fn is_of_credential(self) -> bool {
        match self {
            Self::WrongSecret
            | Self::WrongSignature
            | Self::KeyExpired
            | Self::KeyRevoked
            | Self::TokenRefused => true,
            Self::ForeignNetwork | Self::Forbidden | Self::RateLimited | Self::QuotaExceeded => false,
        }
    }
}

impl From<KeyFault> for Reason {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::WrongSecret => Self::WrongSecret,
            KeyFault::Expired => Self::KeyExpired,
            KeyFault::Revoked => Self::KeyRevoked,
        }
    }
}

/// One request that was refused.
#[derive(Debug, Clone)]
pub struct Refusal<'a> {
    /// Tenant of the credential.
    pub tenant: &'a TenantId,
    /// The credential: a key's id, or an issuer and its subject.
    pub credential: &'a str,
    /// Principal that the credential stands for, or claims to.
    pub actor: Actor,
    /// Reason.
    pub reason: Reason,
    /// The class of routes that it asked for.
    pub class: &'static str,
    /// Client address.
    pub address: IpAddr,
}

impl<'a> Refusal<'a> {
    /// A webhook of this sender that names the tenant and is not signed with its secret.
    pub fn of_webhook(tenant: &'a TenantId, sender: &'a str, class: &'static str, address: IpAddr) -> Self {
        let actor = Actor { kind: ActorKind::ServiceAccount, id: sender.to_owned(), ..Actor::default() };
        Self { tenant, credential: sender, actor, reason: Reason::WrongSignature, class, address }
    }

    /// A token that names this key.
    pub fn of_key(key: &'a RefusedKey, class: &'static str, address: IpAddr) -> Self {
        let actor = Actor {
            kind: ActorKind::ServiceAccount,
            id: key.id.clone(),
            name: Some(key.name.clone()),
            ..Actor::default()
        };
        Self { tenant: &key.tenant, credential: &key.id, actor, reason: key.fault.into(), class, address }
    }
}

/// The requests of one credential that were refused for one reason within one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// Tenant of the credential.
    pub tenant: TenantId,
    /// Principal that the credential stands for, or claims to.
    pub actor: Actor,
    /// Reason.
    pub reason: Reason,
    /// Number of requests.
    pub count: u64,
    /// Time of the first.
    pub first: Timestamp,
    /// Time of the last.
    pub last: Timestamp,
    /// Client addresses, at most eight.
    pub addresses: BTreeSet<IpAddr>,
    /// The classes of routes that they asked for.
    pub classes: BTreeSet<&'static str>,
}

/// A principal that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The principal.
    pub principal: Arc<Principal>,
    /// Client address of the last request.
    pub address: IpAddr,
    /// Time of the last request.
    pub at: Timestamp,
}

/// An event that somebody waits for.
#[derive(Debug)]
pub struct Recording {
    /// The event.
    pub event: AccessEvent,
    /// Signalled once it is stored; dropped if it cannot be.
    pub stored: oneshot::Sender<()>,
}

/// The event could not be stored in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event could not be written to the audit log")]
pub struct NotRecorded;

/// Gathers admissions and refusals of a service.
#[derive(Debug, Default)]
pub struct Trail {
    notes: Mutex<Notes>,
    recorder: OnceLock<mpsc::Sender<Recording>>,
}

#[derive(Debug, Default)]
struct Notes {
    refusals: HashMap<RefusalKey, Refusals>,
    credentials: HashMap<(Timestamp, TenantId), BTreeSet<String>>,
    uses: HashMap<TenantId, HashMap<String, Use>>,
    used: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct RefusalKey {
    minute: Timestamp,
    tenant: TenantId,
    /// `None` for all credentials beyond those that are told apart.
    credential: Option<String>,
    reason: Reason,
}

impl Trail {
    /// Has events stored by whoever reads the channel. Without it a service has no database, and
    /// [`record`](Self::record) records nothing.
    pub fn recorded_by(&self, recorder: mpsc::Sender<Recording>) {
        drop(self.recorder.set(recorder));
    }

    /// Counts a request that was refused.
    pub fn refused(&self, refusal: Refusal<'_>, now: Timestamp) {
        metrics::counter!("weir_access_denials_total", "reason" => refusal.reason.code()).increment(1);
        self.lock().refuse(refusal, now);
    }

    /// Counts a request whose credential nobody is known by. It belongs to no tenant's log.
    pub fn refused_stranger() {
        metrics::counter!("weir_access_denials_total", "reason" => "unknown-credential").increment(1);
    }

    /// Notes that a principal was let in.
    pub fn used(&self, principal: &Arc<Principal>, address: IpAddr, now: Timestamp) {
        let id = principal.id();
        let mut notes = self.lock();
        if let Some(used) = notes.uses.get_mut(principal.tenant()).and_then(|uses| uses.get_mut(id.as_ref()))
        {
            (used.at, used.address) = (now, address);
            return;
        }
        if notes.used < MAX_USES {
            let used = Use { principal: Arc::clone(principal), address, at: now };
            notes.uses.entry(principal.tenant().clone()).or_default().insert(id.into_owned(), used);
            notes.used += 1;
        }
    }

    /// Takes the uses that were noted since the last time.
    pub fn take_uses(&self) -> Vec<Use> {
        let mut notes = self.lock();
        notes.used = 0;
        std::mem::take(&mut notes.uses).into_values().flat_map(HashMap::into_values).collect()
    }

    /// Takes the refusals of minutes that were over at `now`.
    pub fn take_refusals(&self, now: Timestamp) -> Vec<Refusals> {
        let (mut notes, current) = (self.lock(), minute_of(now));
        notes.credentials.retain(|(minute, _), _| *minute >= current);
        notes.refusals.extract_if(|key, _| key.minute < current).map(|(_, refusals)| refusals).collect()
    }

    /// Stores an event before the caller goes on.
    pub async fn record(&self, event: AccessEvent) -> Result<(), NotRecorded> {
        let Some(recorder) = self.recorder.get() else { return Ok(()) };
        let (stored, answer) = oneshot::channel();
        let asked = async {
            recorder.send(Recording { event, stored }).await.map_err(|_| NotRecorded)?;
            answer.await.map_err(|_| NotRecorded)
        };
        tokio::time::timeout(STORED_WITHIN, asked).await.map_err(|_| NotRecorded)?
    }

    /// Has an event stored without waiting. Where that cannot be, the log of the process names it.
    pub fn record_later(&self, event: AccessEvent) {
        let Some(recorder) = self.recorder.get() else { return };
        if let Err(unsent) = recorder.try_send(Recording { event, stored: oneshot::channel().0 }) {
            let event = unsent.into_inner().event;
            tracing::error!(tenant = %event.tenant, event_id = %event.id, "an access event is lost");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn refuse(&mut self, refusal: Refusal<'_>, now: Timestamp) {
        let Refusal { tenant, credential, actor, reason, class, address } = refusal;
        let minute = minute_of(now);
        let known = self.credentials.entry((minute, tenant.clone())).or_default();
        let told_apart = known.contains(credential) || known.len() < MAX_CREDENTIALS;
        if told_apart {
            known.insert(credential.to_owned());
        }
        let credential = told_apart.then(|| credential.to_owned());
        let key = RefusalKey { minute, tenant: tenant.clone(), credential, reason };
        if self.refusals.len() >= MAX_REFUSALS && !self.refusals.contains_key(&key) {
            return;
        }
        let refusals = self.refusals.entry(key).or_insert_with(|| Refusals {
            tenant: tenant.clone(),
            actor: if told_apart { actor } else { Actor::default() },
            reason,
            count: 0,
            first: now,
            last: now,
            addresses: BTreeSet::new(),
            classes: BTreeSet::new(),
        });
        refusals.count += 1;
        (refusals.first, refusals.last) = (refusals.first.min(now), refusals.last.max(now));
        if refusals.addresses.len() < MAX_NAMED {
            refusals.addresses.insert(address);
        }
        if refusals.classes.len() < MAX_NAMED {
            refusals.classes.insert(class);
        }
    }
}

/// The minute in which an instant lies.
fn minute_of(at: Timestamp) -> Timestamp {
    at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests;
