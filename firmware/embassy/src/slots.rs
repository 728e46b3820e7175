//! Which socket of the pool listens where.
//!
//! Pure: a table in, one move out. Every TCP service that is on keeps a listener as long as there is any socket to be
//! had, and HTTP some more than the others, because storms go there: connections that arrive faster than the tasks have
//! their turn need a listener each.

use embassy_time::{Duration, Instant};
use espstress_device::{Service, Services};

/// What a socket of the pool is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Nothing.
    Free,
    /// Listens.
    Listening(Service),
    /// Has a connection, or the last of one.
    Busy,
    /// In TIME_WAIT since then: of use to the peer, but not needed.
    Lingering(Instant),
    /// Forgotten by the program, never to be used again.
    Leaked,
}

/// Listeners below which a service takes sockets out of TIME_WAIT.
const ENOUGH: usize = 2;

/// How long smoltcp may hold back the ACK of the peer's FIN, and some more. A socket that is taken before that leaves the
/// peer to send its FIN again, to nobody.
const ACK_DELAY: Duration = Duration::from_millis(12);

/// Listeners that HTTP has beyond the others', when there are that many.
const HTTP_MORE: usize = 4;

/// The next change to make: which socket is to listen for which service. `None` when all is well.
#[must_use]
pub fn next_move(roles: &[Role], services: Services, now: Instant) -> Option<(usize, Service)> {
    let listeners = |service| roles.iter().filter(|&&role| role == Role::Listening(service)).count();
    let weight = |service| listeners(service) + if service == Service::Http { 0 } else { HTTP_MORE };
    let on = || Service::TCP.into_iter().filter(|&service| services.contains(service));
    let needy = on().min_by_key(|&service| (listeners(service).min(1), weight(service)))?;
    if let Some(free) = roles.iter().position(|&role| role == Role::Free) {
        return Some((free, needy));
    }
    let has = listeners(needy);
    let (ended, oldest) = oldest_lingering(roles).unzip();
    let acknowledged = ended.is_some_and(|since| since + ACK_DELAY <= now);
    if let Some(oldest) = oldest.filter(|_| has < ENOUGH && acknowledged) {
        return Some((oldest, needy));
    }
    let donor = on().filter(|&service| listeners(service) > 1).max_by_key(|&service| weight(service));
    let Some(donor) = donor else {
        // No listener at all is worse than a FIN that is sent twice.
        return oldest.filter(|_| has == 0).map(|oldest| (oldest, needy));
    };
    let gap = weight(donor).saturating_sub(weight(needy));
    if gap < 2 && has > 0 {
        return None;
    }
    let given = roles.iter().rposition(|&role| role == Role::Listening(donor))?;
    Some((given, needy))
}

fn oldest_lingering(roles: &[Role]) -> Option<(Instant, usize)> {
    let lingering = roles.iter().enumerate().filter_map(|(at, role)| match role {
        Role::Lingering(since) => Some((*since, at)),
        _ => None,
    });
    lingering.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes moves until there are none, and says who listens: HTTP, framed, raw, line.
    fn settle(roles: &mut [Role], services: Services) -> [usize; 4] {
        let mut moves = 0;
        while let Some((at, service)) = next_move(roles, services, Instant::from_secs(10)) {
            roles[at] = Role::Listening(service);
            moves += 1;
            assert!(moves < 100, "it never settles: {roles:?}");
        }
        Service::TCP.map(|service| roles.iter().filter(|&&role| role == Role::Listening(service)).count())
    }

    #[test]
    fn every_service_listens_and_http_with_some_more() {
        assert_eq!(settle(&mut [Role::Free; 12], Services::ALL), [6, 2, 2, 2]);
        assert_eq!(settle(&mut [Role::Free; 7], Services::ALL), [4, 1, 1, 1]);
        assert_eq!(settle(&mut [Role::Free; 4], Services::ALL), [1, 1, 1, 1]);
    }

    #[test]
    fn services_that_are_off_do_not_listen() {
        let only_raw = Services::NONE.with(Service::Raw).with(Service::Telemetry);
        assert_eq!(settle(&mut [Role::Free; 3], only_raw), [0, 0, 3, 0]);
        assert_eq!(settle(&mut [Role::Free; 3], Services::NONE), [0, 0, 0, 0]);
    }

    #[test]
    fn a_service_without_listener_gets_one_from_those_with_two() {
        let mut roles = [Role::Free; 12];
        settle(&mut roles, Services::ALL);
        for role in roles.iter_mut().filter(|role| **role == Role::Listening(Service::Http)) {
            *role = Role::Busy;
        }
        assert_eq!(settle(&mut roles, Services::ALL), [3, 1, 1, 1]);
    }

    #[test]
    fn the_oldest_time_wait_goes_first_and_only_when_listeners_are_short() {
        let ago = |secs| Role::Lingering(Instant::from_secs(secs));
        let listening = Role::Listening(Service::Raw);
        let raw = Services::NONE.with(Service::Raw);
        let next = |roles: &[Role], secs| next_move(roles, raw, Instant::from_secs(secs));
        assert_eq!(next(&[ago(9), listening, ago(3)], 10), Some((2, Service::Raw)));
        assert_eq!(next(&[ago(9), listening, listening], 10), None);
    }

    #[test]
    fn a_time_wait_that_has_not_acknowledged_its_peer_goes_only_when_nothing_listens() {
        let just_now = Role::Lingering(Instant::from_secs(3));
        let raw = Services::NONE.with(Service::Raw);
        let next = |roles: &[Role]| next_move(roles, raw, Instant::from_secs(3));
        assert_eq!(next(&[just_now, Role::Listening(Service::Raw)]), None);
        assert_eq!(next(&[just_now, Role::Busy]), Some((0, Service::Raw)));
    }

    #[test]
    fn with_fewer_sockets_than_services_nothing_is_moved_in_circles() {
        assert_eq!(settle(&mut [Role::Free; 2], Services::ALL), [1, 1, 0, 0]);
        assert_eq!(settle(&mut [Role::Busy; 5], Services::ALL), [0, 0, 0, 0]);
        assert_eq!(settle(&mut [Role::Leaked, Role::Free], Services::ALL), [1, 0, 0, 0]);
    }
}
