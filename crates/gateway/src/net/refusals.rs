//! Records of who is not known. Anybody who reaches a port can be refused as often as they like: of each address the first
//! refusals of a minute are written down one by one, the rest as one number, so that nobody fills the journal's disk.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// Refusals are counted for so long.
const WINDOW: Duration = Duration::from_secs(60);
/// So many of one address are written down one by one,
const EACH: u64 = 100;
/// and so many of all.
const ALL: u64 = 1_000;
/// So many addresses are named at the end of a minute, those with most first.
const NAMED: usize = 20;
/// So many addresses are told apart; what comes of others is one number.
const MOST_ADDRESSES: usize = 4_096;

/// The refusals of this minute.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Window>);

#[derive(Default)]
struct Window {
    since: Option<Instant>,
    written: u64,
    by_address: HashMap<IpAddr, Count>,
    others: u64,
}

#[derive(Default)]
struct Count {
    written: u64,
    folded: u64,
}

impl Refusals {
    /// Whether one more refusal is written down by itself.
    pub(crate) fn is_written(&self, address: IpAddr) -> bool {
        self.is_written_at(address, Instant::now())
    }

    fn is_written_at(&self, address: IpAddr, now: Instant) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.since.get_or_insert(now);
        let address = network(address);
        if window.by_address.len() >= MOST_ADDRESSES && !window.by_address.contains_key(&address) {
            window.others += 1;
            return false;
        }
        let room = window.written < ALL;
        let count = window.by_address.entry(address).or_default();
        if !room || count.written >= EACH {
            count.folded += 1;
            return false;
        }
        count.written += 1;
        window.written += 1;
        true
    }

    /// What was not written down by itself, once its minute is over: how many by address, `None` for many.
    pub(crate) fn folded(&self) -> Vec<(Option<IpAddr>, u64)> {
        self.folded_at(Instant::now())
    }

    fn folded_at(&self, now: Instant) -> Vec<(Option<IpAddr>, u64)> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.since.is_none_or(|since| now.duration_since(since) < WINDOW) {
            return Vec::new();
        }
        let Window { by_address, mut others, .. } = std::mem::take(&mut *window);
        drop(window);
        let mut most: Vec<(IpAddr, u64)> =
            by_address.into_iter().filter(|(_, c)| c.folded > 0).map(|(a, c)| (a, c.folded)).collect();
        most.sort_by_key(|(_, folded)| std::cmp::Reverse(*folded));
        others += most.iter().skip(NAMED).map(|(_, folded)| folded).sum::<u64>();
        most.truncate(NAMED);
        let most = most.into_iter().map(|(address, folded)| (Some(address), folded));
        most.chain((others > 0).then_some((None, others))).collect()
    }
}

/// Whoever has one address of a network of IPv6 has all of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => IpAddr::V4(four),
            None => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 64))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_first_of_an_address_are_written_and_the_rest_are_a_number() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        let written = (0..1_000).filter(|_| refusals.is_written_at(address("10.0.0.1"), begun)).count();
        assert_eq!(written, 100);
        // Another one is not drowned by that.
        assert!(refusals.is_written_at(address("10.0.0.2"), begun));
        assert_eq!(refusals.folded_at(begun + WINDOW / 2), []);
        assert_eq!(refusals.folded_at(begun + WINDOW), [(Some(address("10.0.0.1")), 900)]);
        assert_eq!(refusals.folded_at(begun + WINDOW * 3), []);
        assert!(refusals.is_written_at(address("10.0.0.1"), begun + WINDOW * 3));
    }

    #[test]
    fn many_addresses_together_have_a_bound_too() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        let four = |n: u32| IpAddr::from(n.to_be_bytes());
        let written = (0..100_000).filter(|n| refusals.is_written_at(four(*n), begun)).count();
        assert_eq!(written, 1_000);
        let folded = refusals.folded_at(begun + WINDOW);
        assert_eq!((folded.len(), folded.iter().map(|(_, n)| n).sum::<u64>()), (21, 99_000));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        let six = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        let written = (0..1_000).filter(|n| refusals.is_written_at(six(*n), begun)).count();
        assert_eq!(written, 100);
    }
}
