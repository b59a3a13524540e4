//! Wrong tokens, counted by where they come from: whoever shows too many is not listened to for a while,
//! whatever is shown then, so that guessing goes on at no useful rate.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Wrong tokens from one place within one [`WINDOW`], before it has to wait.
pub(super) const FAILURES_MAX: u32 = 10;
/// Counted from the first wrong token.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Places that are counted each by itself; those above share one count.
const PLACES_MAX: usize = 1024;

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    places: HashMap<IpAddr, Failures>,
    others: Option<Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    since: Instant,
}

impl Guesses {
    /// How long `peer` has to wait before it is listened to again.
    pub(super) fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = match counted.places.get(&place(peer)) {
            Some(failures) => Some(*failures),
            None if counted.places.len() >= PLACES_MAX => counted.others,
            None => None,
        };
        let failures = failures.filter(|failures| failures.count >= FAILURES_MAX)?;
        (failures.since + WINDOW).checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// A wrong token from `peer`: how many that makes in this window.
    pub(super) fn failed(&self, peer: IpAddr, now: Instant) -> u32 {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place(peer);
        if counted.places.len() >= PLACES_MAX && !counted.places.contains_key(&place) {
            counted.places.retain(|_, failures| now < failures.since + WINDOW);
        }
        let fresh = Failures { count: 0, since: now };
        let full = counted.places.len() >= PLACES_MAX && !counted.places.contains_key(&place);
        let failures = match full {
            true => counted.others.get_or_insert(fresh),
            false => counted.places.entry(place).or_insert(fresh),
        };
        if now >= failures.since + WINDOW {
            *failures = fresh;
        }
        failures.count = failures.count.saturating_add(1);
        failures.count
    }
}

/// Of IPv6 the network of 64 bits, of which one place has all addresses.
fn place(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(n))
    }

    #[test]
    fn too_many_have_to_wait_and_others_do_not() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let later = now + WINDOW;
        for n in 1..FAILURES_MAX {
            assert_eq!(guesses.failed(peer(1), now), n);
            assert_eq!(guesses.wait(peer(1), now), None);
        }
        guesses.failed(peer(1), now);
        assert_eq!(guesses.wait(peer(1), now), Some(WINDOW));
        assert_eq!(guesses.wait(peer(2), now), None);
        assert_eq!(guesses.wait(peer(1), later), None);
        assert_eq!(guesses.failed(peer(1), later), 1, "a window of its own");
    }

    #[test]
    fn many_places_share_what_is_left() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let later = now + WINDOW;
        let most = u32::try_from(PLACES_MAX).unwrap();
        for n in 0..most + FAILURES_MAX {
            guesses.failed(peer(n), now);
        }
        assert!(guesses.wait(peer(most + 1000), now).is_some(), "a place never seen");
        assert_eq!(guesses.wait(peer(1), now), None, "one with a count of its own");
        assert_eq!(guesses.0.lock().unwrap().places.len(), PLACES_MAX);
        assert_eq!(guesses.failed(peer(most + 1000), later), 1);
    }

    #[test]
    fn one_ipv6_network_is_one_place() {
        let of = |text: &str| place(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::7"), of("2001:db8:0:1:ffff::9"));
        assert_ne!(of("2001:db8:0:1::7"), of("2001:db8:0:2::7"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
