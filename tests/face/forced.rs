//! A node is forced on without what others had committed: what their subscriptions, engines and callers are told.
//!
//! n3 has the first entry only. It is forced on while it is alone, and stopped; then n1 and n2, who have committed more, run
//! again without it. When n3 comes back, it is the primary by its own vote, and both follow it.

use core::time::Duration;

use engraft::core::ReplicationConfig;
use engraft::{
    Ack, AppendError, Builder, Engraft, Epoch, PromoteBy, PromoteError, PromotionError, ReadError, Role, Sequence,
    SpaceOptions, Subscription, Token, WaitError,
};

use super::engine::Ledger;
use super::trio::{N1, N2, N3, Trio, first_payloads, orders, payloads, primary, run, space, until, within};

/// What all three have, what n1 and n2 committed behind it, and what n3 has in its place.
const COMMON: &str = "all";
const OVERRULED: [&str; 2] = ["first of two", "second of two"];
const FORCED: [&str; 2] = [COMMON, "instead"];

const MS: Duration = Duration::from_millis(1);
const SIXTY: &str = "123456789 123456789 123456789 123456789 123456789 123456789 ";

/// What stands where n3's log parts from that of n1 and n2.
struct Parted {
    trio: Trio,
    /// The last entry that all have.
    common: Sequence,
    /// What n1 and n2 committed behind it.
    overruled: [Token; 2],
}

impl Parted {
    /// None of the three runs. n1 had an engine where one is given.
    async fn new(ledger: Option<&Ledger>) -> Self {
        let trio = Trio::new();
        let first = trio.start_with(1, of(ledger)).await;
        let (second, third) = (trio.start(2).await, trio.start(3).await);
        let common = append(&first, COMMON, Ack::All).await;
        within("the shutdown", third.shutdown()).await;
        let mut overruled = Vec::new();
        for payload in OVERRULED {
            overruled.push(append(&first, payload, Ack::Quorum).await);
        }
        if let Some(ledger) = ledger {
            until("applying", async || ledger.payloads() == [COMMON, OVERRULED[0], OVERRULED[1]]).await;
        }
        within("the shutdown", first.shutdown()).await;
        within("the shutdown", second.shutdown()).await;
        let third = trio.start(3).await;
        let epoch = space(&third).promote(PromoteBy::Force).await.expect("it is alone and has an entry");
        assert_eq!((epoch.generation(), epoch.owner()), (1, N3));
        primary(&third).await;
        append(&third, FORCED[1], Ack::Local).await;
        within("the shutdown", third.shutdown()).await;
        let overruled = overruled.try_into().expect("two");
        Self { trio, common: common.sequence, overruled }
    }

    /// n1 and n2 run again and go on with what they have; up to where n1 knows it to be committed.
    async fn two(&self, ledger: Option<&Ledger>) -> ([Engraft; 2], Sequence) {
        let two = [self.trio.start_with(1, of(ledger)).await, self.trio.start(2).await];
        until("an election", async || two.iter().any(is_primary)).await;
        // What was committed before is known to be so with the first entry of the new epoch.
        until("the commit", async || commit(&two[0]).await > self.overruled[1].sequence).await;
        let last = commit(&two[0]).await;
        (two, last)
    }
}

/// The primary of three whom no replica answers any more, with other limits.
async fn left_alone(tune: impl FnOnce(&mut ReplicationConfig) + Copy + Send + 'static) -> (Trio, Engraft) {
    let trio = Trio::new();
    let with = |builder: Builder| builder.space(orders()).tune(tune);
    let first = trio.start_left_alone_with(with, with).await;
    (trio, first)
}

fn of(ledger: Option<&Ledger>) -> SpaceOptions {
    ledger.map_or_else(orders, |ledger| orders().state(ledger.engine()))
}

fn is_primary(node: &Engraft) -> bool {
    space(node).roles().current().role == Role::Primary
}

/// n1 and n2 commit more than n3 will ever have before somebody appends there, and n1's engine has it.
async fn outgrow(first: &Engraft, second: &Engraft, ledger: &Ledger) {
    let elected = if is_primary(first) { first } else { second };
    for _ in 0..10 {
        append(elected, "more", Ack::Quorum).await;
    }
    until("applying", async || ledger.payloads().len() == 1 + OVERRULED.len() + 10).await;
}

async fn commit(node: &Engraft) -> Sequence {
    space(node).status().await.expect("the node runs").status.commit
}

/// Waits until all three vote under this primary.
async fn all_vote(primary: &Engraft) {
    let voters = async || space(primary).status().await.expect("the node runs").status.voters;
    until("all votes", async || voters().await == [N1, N2, N3]).await;
}

async fn append(node: &Engraft, payload: &'static str, ack: Ack) -> Token {
    let receipt = within("an append", async { space(node).append(payload).ack(ack).await }).await;
    receipt.expect("it reaches its level").token()
}

/// What a subscription gives next.
async fn next(entries: &mut Subscription) -> Result<(Sequence, String), ReadError> {
    let entry = within("an entry", entries.next()).await.expect("the node runs")?;
    Ok((entry.header.sequence(), String::from_utf8_lossy(&entry.payload).into_owned()))
}

#[test]
fn a_subscription_is_told_once_what_is_committed_no_more_and_goes_on_with_what_is() {
    run(async {
        let parted = Parted::new(None).await;
        let ([first, second], last) = parted.two(None).await;
        let (mut told, mut behind) = (space(&first).subscribe(Sequence::ZERO), space(&first).subscribe(Sequence::ZERO));
        for payload in [COMMON, OVERRULED[0], OVERRULED[1]] {
            assert_eq!(next(&mut told).await.expect("an entry").1, payload);
        }
        assert_eq!(next(&mut behind).await.expect("an entry").1, COMMON);

        let third = parted.trio.start(3).await;
        let taken_back = next(&mut told).await;
        assert!(
            matches!(taken_back, Err(ReadError::CommittedTruncated { first, last: told })
                if first == parted.common.next() && told >= last),
            "{taken_back:?}"
        );
        let instead = next(&mut told).await.expect("it goes on");
        assert_eq!(instead.1, FORCED[1]);
        assert!(instead.0 > parted.common && instead.0 <= last, "{instead:?} is in the place of another");
        assert_eq!(next(&mut behind).await, Ok(instead), "to whom none of it was given, it is as if it never was");

        all_vote(&third).await;
        append(&third, "after", Ack::All).await;
        for entries in [&mut told, &mut behind] {
            assert_eq!(next(entries).await.expect("it is told once").1, "after");
        }
        assert_eq!(first_payloads(&space(&second), 3).await, [COMMON, FORCED[1], "after"]);
        let lost = within("the word", async { space(&first).wait_for(parted.overruled[1]).await }).await;
        assert_eq!(lost, Err(WaitError::Lost { token: parted.overruled[1] }));
    });
}

#[test]
fn an_engine_that_applied_what_was_committed_is_taken_back() {
    run(async {
        let ledger = Ledger::default();
        let parted = Parted::new(Some(&ledger)).await;
        let ([first, second], _) = parted.two(Some(&ledger)).await;
        outgrow(&first, &second, &ledger).await;
        assert!(ledger.rewinds().is_empty(), "the log is what it was: {:?}", ledger.rewinds());

        let third = parted.trio.start(3).await;
        until("the forced log", async || ledger.payloads() == FORCED).await;
        assert_eq!(ledger.rewinds(), [parted.common], "as far as needed");
        assert_eq!(payloads(&space(&third)).await, FORCED);
        all_vote(&third).await;
        let token = append(&third, "after", Ack::Local).await;
        within("applying", async { space(&first).wait_for(token).await }).await.expect("it is applied");
        assert_eq!(ledger.payloads(), [FORCED[0], FORCED[1], "after"]);
        assert_eq!(ledger.rewinds().len(), 1);
    });
}

#[test]
fn an_engine_that_was_away_when_its_log_was_overruled_is_taken_back_at_its_start() {
    run(async {
        let (ledger, ahead) = (Ledger::default(), Ledger::default());
        let parted = Parted::new(Some(&ledger)).await;
        let shorter = ledger.as_of();
        let ([first, second], _) = parted.two(Some(&ahead)).await;
        outgrow(&first, &second, &ahead).await;
        within("the shutdown", first.shutdown()).await;
        within("the shutdown", second.shutdown()).await;
        let longer = ahead.as_of();

        // It hears of the forced log while its engine asks what of its own is committed.
        let third = parted.trio.start(3).await;
        let first = parted.trio.start_with(1, of(Some(&ahead))).await;
        until("the forced log", async || ahead.payloads() == FORCED).await;
        assert_eq!(ahead.rewinds().len(), 1, "{:?}", ahead.rewinds());
        within("the shutdown", first.shutdown()).await;

        // Its log is the forced one already: first below the end of what the engine has, then past it.
        let first = parted.trio.start_with(1, of(Some(&longer))).await;
        until("the forced log", async || longer.payloads() == FORCED).await;
        assert_eq!(longer.rewinds(), [Sequence::ZERO], "nothing tells how much of it both logs have");
        let _second = parted.trio.start(2).await;
        all_vote(&third).await;
        let token = append(&third, "after", Ack::Local).await;
        within("the shutdown", first.shutdown()).await;
        let first = parted.trio.start_with(1, of(Some(&shorter))).await;
        within("applying", async { space(&first).wait_for(token).await }).await.expect("it is applied");
        assert_eq!(shorter.payloads(), [FORCED[0], FORCED[1], "after"]);
        assert_eq!(shorter.rewinds(), [Sequence::ZERO]);
    });
}

#[test]
fn a_node_is_not_promoted_where_a_primary_lives_unless_that_is_said_as_well() {
    run(async {
        let trio = Trio::new();
        let [first, second, third] = trio.start_all().await;
        append(&first, COMMON, Ack::All).await;
        let epoch = space(&first).roles().current().epoch;
        let refused = |error: PromotionError| Err(PromoteError::Refused(error));
        let alive = || refused(PromotionError::PrimaryAlive { primary: N1 });
        assert_eq!(space(&first).promote(PromoteBy::Force).await, refused(PromotionError::AlreadyPrimary { epoch }));
        assert_eq!(space(&first).promote(PromoteBy::Election).await, Ok(epoch), "it is what was asked for");
        for by in [PromoteBy::Election, PromoteBy::Force] {
            assert_eq!(space(&second).promote(by).await, alive(), "{by:?}");
        }
        assert_eq!(space(&first).roles().current().epoch, epoch, "nothing happened");
        let token = space(&first).roles().current().fencing_token().expect("a primary has one");

        let opened = space(&second).promote(PromoteBy::ForceThoughAlive).await.expect("it was said twice");
        assert_eq!(opened, Epoch::new(1, epoch.term() + 1, N2));
        primary(&second).await;
        let state = || space(&first).roles().current();
        until("the old primary", async || state().role == Role::Replica && state().epoch.generation() == 1).await;
        assert_eq!(state().deposed, Some(epoch));
        all_vote(&second).await;
        append(&second, "after", Ack::All).await;
        assert!(space(&second).roles().current().fencing_token() > Some(token));
        within("the shutdown", third.shutdown()).await;
        assert_eq!(space(&third).promote(PromoteBy::Force).await, Err(PromoteError::Shutdown));
    });
}

#[test]
fn appends_past_the_limit_of_exposure_say_so() {
    run(async {
        let narrow =
            |numbers: &mut ReplicationConfig| (numbers.entry_bytes_max, numbers.exposure_bytes_max) = (64, 100);
        let short = |numbers: &mut ReplicationConfig| numbers.exposure_age_max = 50 * MS;
        let by_bytes = left_alone(narrow).await;
        append(&by_bytes.1, SIXTY, Ack::Local).await;
        let past = space(&by_bytes.1).append(SIXTY).ack(Ack::Local).timeout(20 * MS).await;
        assert!(matches!(past, Err(AppendError::ExposureReached { bytes: 60, .. })), "{past:?}");
        let words = past.expect_err("just seen").to_string();
        assert!(words.contains("60 bytes since") && words.contains("bring replicas back"), "{words}");
        assert_eq!(space(&by_bytes.1).append("y").ack(Ack::Local).await.err(), None, "a smaller one has room");

        let by_age = left_alone(short).await;
        append(&by_age.1, SIXTY, Ack::Local).await;
        let old = async || space(&by_age.1).append("x").ack(Ack::Local).timeout(20 * MS).await;
        until("the limit", async || matches!(old().await, Err(AppendError::ExposureReached { age_ms: 50.., .. })))
            .await;
    });
}
