//! Entities of a signal: actor and address, entities that the rule names, projects, and owners of hosts.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    Envelope, Event,
    changes::risk::{Entity, EntityKind},
    events::{Actor, ActorKind, Resource},
};

/// Maximum number of entities of one event, over all rules. A person acts on few things at once; an event
/// that names thousands is a list, and would cost every tenant a row for each item.
pub(super) const MAX_TOUCHED: usize = 64;

/// Entities of an event so far.
#[derive(Debug, Default)]
pub(super) struct Allowance(BTreeSet<Entity>);

impl Allowance {
    fn admits(&mut self, entity: &Entity) -> bool {
        self.0.contains(entity) || (self.0.len() < MAX_TOUCHED && self.0.insert(entity.clone()))
    }
}

/// Entities of a signal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// Each entity once, in order, with the larger share if it is named twice.
    pub(super) touches: Vec<Touch>,
    /// Number of further entities, beyond the maximum of the event.
    pub(super) left_out: usize,
}

/// An entity of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) entity: Entity,
    pub(super) share: Share,
}

/// Share of a signal's hazard that an entity gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Share {
    /// Half: for the owner of a host.
    Half,
    /// The whole hazard.
    Whole,
}

impl Share {
    /// That share of a hazard, rounded down.
    pub(super) fn of(self, hazard_micronats: i64) -> i64 {
        match self {
            Self::Half => hazard_micronats / 2,
            Self::Whole => hazard_micronats,
        }
    }
}

/// All entities of a signal on the event: actor and address first, then those that the rule names, then the
/// projects, up to the maximum of the event.
///
/// For an event without any of these, the first resource, and without one the source: a signal always has an
/// entity.
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

/// The acting entity. For a session under a role, the role: sessions are short-lived, and one role has many.
/// An actor of unknown kind counts as a user, the platform's own services as service accounts.
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

/// The person behind a session under a role, if the session is named by an e-mail address, as identity
/// providers do: a person with many roles remains one entity.
fn person_behind(actor: &Actor) -> Option<Entity> {
    let (_, session) = actor.id.rsplit_once('/').filter(|_| actor.kind == ActorKind::Role)?;
    let (name, domain) = session.split_once('@')?;
    (!name.is_empty() && domain.contains('.')).then(|| Entity::new(EntityKind::User, session)).flatten()
}

/// The owner in the host's tags, if the event describes the host.
fn owner_of(host: &str, resources: &[Resource]) -> Option<Entity> {
    let is_host = |resource: &&Resource| {
        let last = |id: &str| id.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
        resource.id == host || resource.name.as_deref() == Some(host) || last(&resource.id) == last(host)
    };
    let tags = &resources.iter().find(is_host)?.tags;
    let (_, owner) = tags.iter().find(|(name, _)| name.eq_ignore_ascii_case("owner"))?;
    Entity::new(EntityKind::User, owner)
}
