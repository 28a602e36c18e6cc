//! Limits on open connections: in total, and by address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::peer::{Network, is_proxy};

/// Open connections by address or, for IPv6, by the network that one host controls.
type ByAddress = Arc<Mutex<HashMap<Network, usize>>>;

/// Connection slots of one listener.
#[derive(Debug)]
pub(crate) struct Slots {
    all: Arc<Semaphore>,
    by_address: ByAddress,
    per_address: usize,
    proxies: Vec<IpNet>,
}

impl Slots {
    /// Connections from proxies are not counted per address.
    pub(crate) fn new(connections: usize, per_address: usize, proxies: Vec<IpNet>) -> Self {
        Self { all: Arc::new(Semaphore::new(connections)), by_address: Arc::default(), per_address, proxies }
    }

    /// A slot for a connection from that address, if one is free.
    pub(crate) fn take(&self, peer: IpAddr) -> Option<Slot> {
        let one = Arc::clone(&self.all).try_acquire_owned().ok()?;
        if is_proxy(peer, &self.proxies) {
            return Some(Slot { _one: one, of: None });
        }
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = Network::from(peer);
        let open = by_address.entry(peer).or_default();
        if *open >= self.per_address {
            return None;
        }
        *open += 1;
        Some(Slot { _one: one, of: Some((peer, Arc::clone(&self.by_address))) })
    }
}

/// A connection's slot; released when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _one: OwnedSemaphorePermit,
    of: Option<(Network, ByAddress)>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some((peer, by_address)) = &self.of else { return };
        let mut by_address = by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = by_address.get_mut(peer) {
            *open -= 1;
            if *open == 0 {
                by_address.remove(peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_address_and_together_and_given_back() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let proxies = vec!["10.0.0.0/8".parse().expect("a network")];
        let slots = Slots::new(4, 1, proxies);
        let first = slots.take(address("192.0.2.1")).expect("room");
        assert!(slots.take(address("192.0.2.1")).is_none(), "one for each address");
        let _second = slots.take(address("192.0.2.2")).expect("another address");
        let _proxied = [1, 2].map(|_| slots.take(address("10.0.0.1")).expect("a proxy has many clients"));
        assert!(slots.take(address("192.0.2.3")).is_none(), "no more than four together");
        drop(first);
        slots.take(address("192.0.2.1")).expect("room again");
        assert_eq!(slots.by_address.lock().expect("free").len(), 1, "who has gone is forgotten");
    }

    #[test]
    fn a_host_cannot_multiply_itself_within_its_network() {
        let slots = Slots::new(4, 1, Vec::new());
        let take = |text: &str| slots.take(text.parse().expect("an address"));
        let _first = take("2001:db8::1").expect("room");
        assert!(take("2001:db8::2").is_none());
        take("2001:db8:0:1::1").expect("another network");
    }
}
