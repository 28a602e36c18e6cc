//! What a signal touches: who acted and from where, what the rule names, the projects, and the owners of hosts.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    Envelope, Event,
    changes::risk::{Entity, EntityKind},
    events::{Actor, ActorKind, Resource},
};

/// Most entities that one event touches, whichever rules fire on it. A person acts on few things at once; what names
/// thousands is a list, and would cost every tenant a row for each of its lines.
pub(super) const MAX_TOUCHED: usize = 64;

/// The entities that an event touches so far.
#[derive(Debug, Default)]
pub(super) struct Allowance(BTreeSet<Entity>);

impl Allowance {
    fn admits(&mut self, entity: &Entity) -> bool {
        self.0.contains(entity) || (self.0.len() < MAX_TOUCHED && self.0.insert(entity.clone()))
    }
}

/// What a signal touches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// Each entity once, in order, with the larger share where it is touched twice.
    pub(super) touches: Vec<Touch>,
    /// How many others the event names, beyond what it may touch.
    pub(super) left_out: usize,
}

/// An entity that a signal touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) entity: Entity,
    pub(super) share: Share,
}

/// How much of a signal's hazard is an entity's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Share {
    /// A host's owner answers for half of it.
    Half,
    /// All of it.
    Whole,
}

impl Share {
    /// That much of a hazard, rounded down.
    pub(super) fn of(self, hazard_micronats: i64) -> i64 {
        match self {
            Self::Half => hazard_micronats / 2,
            Self::Whole => hazard_micronats,
        }
    }
}

/// Everything that a signal on the event touches: who acted and from where first, then what the rule names, then the
/// projects; as far as the event may touch so many.
///
/// An event that names neither actor nor address nor anything else touches its first resource, and without one its
/// source: a signal is never nobody's.
pub(super) fn touched(
    envelope: &Envelope,
    named_by_rule: Vec<(EntityKind, String)>,
    allowance: &mut Allowance,
) -> Touched {
    let (actor, resources) = parties(&envelope.event);
    let (mut found, mut left_out): (BTreeMap<Entity, Share>, BTreeSet<Entity>) = Default::default();
    let mut add = |entity: Option<Entity>, share: Share| {
        let Some(entity) = entity else { return };
        if allowance.admits(&entity) {
            let known = found.entry(entity).or_insert(share);
            *known = (*known).max(share);
        } else {
            left_out.insert(entity);
        }
    };
    if let Some(actor) = actor {
        add(acting(actor), Share::Whole);
        add(person_behind(actor), Share::Whole);
        add(actor.ip.as_deref().and_then(|ip| Entity::new(EntityKind::NetworkAddress, ip)), Share::Whole);
    }
    for (kind, id) in named_by_rule {
        add(Entity::new(kind, &id), Share::Whole);
        if kind == EntityKind::Host {
            add(owner_of(&id, resources), Share::Half);
        }
    }
    for resource in resources {
        add(resource.project.as_deref().and_then(|id| Entity::new(EntityKind::Project, id)), Share::Whole);
    }
    if found.is_empty() && left_out.is_empty() {
        let first = resources.first().and_then(|first| Entity::new(EntityKind::Resource, &first.id));
        let last = first.or_else(|| Entity::new(EntityKind::Resource, envelope.source.as_str()));
        found.extend(last.map(|entity| (entity, Share::Whole)));
    }
    let touches = found.into_iter().map(|(entity, share)| Touch { entity, share }).collect();
    Touched { touches, left_out: left_out.len() }
}

fn parties(event: &Event) -> (Option<&Actor>, &[Resource]) {
    match event {
        Event::Activity(event) => (Some(&event.actor), &event.resources),
        Event::Infrastructure(event) => (event.actor.as_ref(), std::slice::from_ref(&event.resource)),
        Event::Governance(event) => (Some(&event.actor), &[]),
        Event::Delivery(event) => (event.actor.as_ref(), &[]),
        _ => (None, &[]),
    }
}

/// Who acted. Of a session under a role, the role: sessions come and go, and one role has many. Whoever is of unknown
/// kind counts as a user, the platform's own services as service accounts.
fn acting(actor: &Actor) -> Option<Entity> {
    match actor.kind {
        ActorKind::Role => {
            let id = actor.roles.first().filter(|_| actor.roles.len() == 1).unwrap_or(&actor.id);
            Entity::new(EntityKind::Role, id)
        }
        ActorKind::ServiceAccount | ActorKind::System => Entity::new(EntityKind::ServiceAccount, &actor.id),
        ActorKind::User | ActorKind::Unknown => Entity::new(EntityKind::User, &actor.id),
    }
}

/// The person who holds a session under a role, where the session is named by an e-mail address, as identity providers
/// do: one person under many roles stays one.
fn person_behind(actor: &Actor) -> Option<Entity> {
    let (_, session) = actor.id.rsplit_once('/').filter(|_| actor.kind == ActorKind::Role)?;
    let (name, domain) = session.split_once('@')?;
    (!name.is_empty() && domain.contains('.')).then(|| Entity::new(EntityKind::User, session)).flatten()
}

/// The owner that the host's tags name, where the event describes the host.
fn owner_of(host: &str, resources: &[Resource]) -> Option<Entity> {
    let is_host = |resource: &&Resource| {
        let last = |id: &str| id.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
        resource.id == host || resource.name.as_deref() == Some(host) || last(&resource.id) == last(host)
    };
    let tags = &resources.iter().find(is_host)?.tags;
    let (_, owner) = tags.iter().find(|(name, _)| name.eq_ignore_ascii_case("owner"))?;
    Entity::new(EntityKind::User, owner)
}
