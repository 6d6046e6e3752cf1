//! Exposure: how much is answered at Local and not committed, the limit on it, and what isolation makes of it.

use ::core::time::Duration;

use engraft::core::{Ack, AppendError, Isolation, Notice, Outcome, Promotion, ReplicationConfig};
use engraft::types::{RequestId, Sequence};

use super::rig::{N1, N2, Rig};

const MS: Duration = Duration::from_millis(1);
/// 100 bytes.
const PAYLOAD: &[u8; 100] = &[7; 100];

/// At most three payloads may be exposed.
fn small(config: &mut ReplicationConfig) {
    (config.entry_bytes_max, config.exposure_bytes_max) = (200, 320);
}

/// Three nodes that elect nobody by themselves, n1 the primary, with room for three payloads.
fn narrow() -> Rig {
    let mut rig = Rig::new(small);
    rig.run(300 * MS);
    rig
}

impl Rig {
    fn expose(&mut self, count: usize) -> Vec<RequestId> {
        (0..count).map(|_| self.append(N1, Ack::Local, PAYLOAD)).collect()
    }

    fn is_appended(&self, request: RequestId) -> bool {
        matches!(self.reply(N1, request), Some(Outcome::Appended { .. }))
    }

    fn failure(&self, request: RequestId) -> Option<&AppendError> {
        match self.reply(N1, request)? {
            Outcome::Failed(error) => Some(error),
            other => panic!("{other}"),
        }
    }

    fn reached(&self) -> usize {
        let told = |notice: &&Notice| matches!(notice, Notice::ExposureReached { .. });
        self.nodes[&N1].notices.iter().filter(told).count()
    }
}

#[test]
fn what_is_past_the_limit_has_no_place_and_fails_at_its_own_time_out() {
    let mut rig = narrow();
    rig.cut.push(N1);
    let requests = rig.expose(5);
    rig.run(500 * MS);
    let appended: Vec<bool> = requests.iter().map(|request| rig.is_appended(*request)).collect();
    assert_eq!(appended, [true, true, true, false, false]);
    let exposure = rig.status(N1).exposure;
    assert_eq!((exposure.entries, exposure.bytes, exposure.held), (3, 300, 2));
    assert_eq!((exposure.bytes_max, rig.status(N1).waiting, rig.reached()), (Some(320), 2, 1));
    let end = rig.status(N1).end;
    rig.run(4_600 * MS);
    let error = AppendError::ExposureReached { bytes: 300, age_ms: 5_000 };
    assert_eq!(rig.failure(requests[3]), Some(&error));
    assert_eq!((rig.failure(requests[4]), rig.status(N1).end), (Some(&error), end));
    assert_eq!(rig.status(N1).exposure.held, 0);
}

/// The replicas are silent and no other append has a deadline as near.
#[test]
fn append_that_is_held_fails_in_time_where_nothing_else_happens() {
    let mut rig = narrow();
    rig.cut.push(N1);
    rig.expose(3);
    rig.run(500 * MS);
    let request = rig.append_for(N1, Ack::Local, PAYLOAD, 50 * MS);
    rig.run(60 * MS);
    assert!(matches!(rig.failure(request), Some(AppendError::ExposureReached { .. })), "{:?}", rig.reply(N1, request));
}

#[test]
fn what_waits_gets_its_place_in_order_as_soon_as_the_rest_is_committed() {
    let mut rig = narrow();
    rig.cut.push(N1);
    let requests = rig.expose(8);
    rig.run(1_000 * MS);
    assert!(!rig.is_appended(requests[3]));
    rig.cut.clear();
    rig.run(2_000 * MS);
    let tokens: Vec<Sequence> = requests
        .iter()
        .map(|request| match rig.reply(N1, *request) {
            Some(Outcome::Appended { token }) => token.sequence,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(tokens.is_sorted(), "{tokens:?}");
    let exposure = rig.status(N1).exposure;
    assert_eq!((exposure.entries, exposure.bytes, exposure.ms, exposure.held), (0, 0, 0, 0));
    // It shrank below half, so that it is worth telling when it is reached anew.
    rig.cut.push(N1);
    rig.expose(4);
    assert_eq!(rig.reached(), 2);
}

#[test]
fn small_append_does_not_overtake_one_that_waits_and_other_levels_do() {
    let mut rig = narrow();
    rig.cut.push(N1);
    rig.expose(2);
    let large = rig.append(N1, Ack::Local, &[7; 200]);
    let small = rig.append(N1, Ack::Local, b"small");
    let quorum = rig.append(N1, Ack::Quorum, PAYLOAD);
    rig.run(300 * MS);
    assert!(!rig.is_appended(large) && !rig.is_appended(small));
    rig.cut.clear();
    rig.run(2_000 * MS);
    assert!(rig.is_appended(large) && rig.is_appended(small) && rig.is_appended(quorum));
    let place = |request| match rig.reply(N1, request) {
        Some(Outcome::Appended { token }) => token.sequence,
        other => panic!("{other:?}"),
    };
    assert!(place(quorum) < place(large) && place(large) < place(small));
}

#[test]
fn exposure_has_a_limit_in_time() {
    let mut rig = Rig::settled();
    rig.cut.push(N1);
    let first = rig.append(N1, Ack::Local, b"early");
    rig.run(4_900 * MS);
    let second = rig.append(N1, Ack::Local, b"just in time");
    rig.run(200 * MS);
    let third = rig.append(N1, Ack::Local, b"late");
    rig.run(100 * MS);
    assert!(rig.is_appended(first) && rig.is_appended(second));
    assert_eq!(rig.reply(N1, third), None, "the first has been exposed for 5 s");
    rig.cut.clear();
    rig.run(3_000 * MS);
    assert!(rig.is_appended(third));
}

#[test]
fn what_was_late_on_the_disk_is_answered_once_it_is_committed() {
    let mut rig = Rig::settled();
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
    let append = rig.append_for(N1, Ack::Local, b"slow", Duration::from_secs(60));
    rig.run(5_500 * MS);
    rig.cut.push(N1);
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
    rig.run(500 * MS);
    assert_eq!(rig.status(N1).durable, rig.status(N1).end);
    assert_eq!(rig.reply(N1, append), None, "it is older than an exposed entry may be");
    rig.cut.clear();
    rig.run(2_000 * MS);
    assert!(rig.is_appended(append), "{:?}", rig.reply(N1, append));
}

#[test]
fn isolated_primary_refuses_at_once_where_it_is_to_stop() {
    let mut rig = Rig::of(3, |_, space| space.isolation = Isolation::Stop, small);
    rig.run(300 * MS);
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
    let under_way = rig.append(N1, Ack::Local, PAYLOAD);
    rig.cut.push(N1);
    let held = rig.expose(3)[2];
    rig.run(900 * MS);
    assert!(!rig.status(N1).leased);
    assert_eq!(rig.failure(held), Some(&AppendError::Isolated), "it waited when the lease was lost");
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
    let refused = rig.append(N1, Ack::Local, PAYLOAD);
    rig.run(50 * MS);
    assert_eq!(rig.failure(refused), Some(&AppendError::Isolated));
    assert_eq!(rig.status(N1).durable, rig.status(N1).end);
    assert_eq!(rig.reply(N1, under_way), None, "it is durable here, and nobody else may have it");
    rig.cut.clear();
    rig.run(1_000 * MS);
    assert!(rig.is_appended(under_way), "{:?}", rig.reply(N1, under_way));
}

#[test]
fn lease_alone_answers_what_an_isolated_primary_withheld() {
    let mut rig = Rig::of(3, |_, space| space.isolation = Isolation::Stop, |_| {});
    rig.run(300 * MS);
    rig.cut.push(N1);
    rig.run(790 * MS);
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
    let request = rig.append(N1, Ack::Local, PAYLOAD);
    rig.run(100 * MS);
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
    rig.run(20 * MS);
    assert!(!rig.status(N1).leased && rig.reply(N1, request).is_none());
    // Everybody answers probes, and nobody can write.
    for node in [N2, super::rig::N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    rig.cut.clear();
    rig.run(400 * MS);
    assert!(rig.is_appended(request), "{:?} {:?}", rig.reply(N1, request), rig.status(N1));
    assert!(rig.status(N1).commit < rig.status(N1).end);
}

#[test]
fn no_limit_is_in_force_where_it_is_lifted_or_where_two_vote() {
    let lifted = |_, space: &mut engraft::core::SpaceConfig| {
        (space.promotion, space.isolation) = (Promotion::Manual, Isolation::Continue);
    };
    for mut rig in [Rig::of(3, lifted, small), Rig::of(2, |_, _| {}, small)] {
        rig.run(300 * MS);
        rig.cut.push(N1);
        let requests = rig.expose(50);
        rig.run(6_000 * MS);
        let last = rig.append(N1, Ack::Local, PAYLOAD);
        rig.run(10 * MS);
        assert!(requests.into_iter().chain([last]).all(|request| rig.is_appended(request)));
        let exposure = rig.status(N1).exposure;
        assert_eq!((exposure.entries, exposure.bytes, exposure.bytes_max), (51, 5_100, None));
        assert_eq!(rig.reached(), 0);
    }
}

#[test]
fn replaced_primary_gives_nothing_a_place_that_waited() {
    let mut rig = Rig::of(3, |_, _| {}, small);
    rig.run(300 * MS);
    rig.cut.push(N1);
    rig.expose(3);
    let held = rig.append_for(N1, Ack::Local, PAYLOAD, Duration::from_secs(60));
    rig.until_replaced(N1);
    assert_eq!(rig.reply(N1, held), None);
    rig.cut.clear();
    rig.run(2_000 * MS);
    assert_eq!(rig.failure(held), Some(&AppendError::NoPrimary));
    assert_eq!(rig.status(N1).end, rig.status(N2).end);
}

#[test]
fn who_takes_over_tells_how_much_may_be_lost_by_the_limit_of_the_lost_epoch() {
    let mut rig = Rig::of(3, |_, _| {}, |config| config.exposure_bytes_max = 40 << 20);
    rig.run(300 * MS);
    rig.kill(N1);
    // The limit in force is the one that the lost primary had, not that of who takes over.
    rig.until_replaced(N1);
    let by = rig.primary().expect("one was elected");
    let bound = rig.notices(by).into_iter().find(|line| line.contains("may have lost")).expect("a bound is told");
    assert!(bound.contains("at most 41943040 bytes"), "{bound}");
}

#[test]
fn many_small_exposed_entries_are_counted_exactly() {
    let mut rig = Rig::settled();
    rig.quiet = true;
    rig.cut.push(N1);
    for _ in 0..20_000 {
        rig.append(N1, Ack::Local, b"tiny");
    }
    rig.run(100 * MS);
    assert_eq!(rig.status(N1).exposure.entries, 20_000);
    assert_eq!(rig.status(N1).exposure.bytes, 80_000);
    rig.cut.clear();
    rig.run(1_000 * MS);
    assert_eq!(rig.status(N1).exposure.entries, 0);
    assert_eq!(rig.status(N1).exposure.bytes, 0);
}
