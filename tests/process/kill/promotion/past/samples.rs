//! Doctored histories: each rule can fail.

use engraft::types::NodeId;

use super::*;

const LIMIT: Limit = Limit { bytes: 1_000, age: Duration::from_secs(2) };

/// What was sent at that millisecond and acknowledged 10 ms later, as an entry of that term.
fn acknowledged(level: Level, term: u32, counter: u32, sent: u64) -> Operation {
    let place = Place { epoch: Epoch::new(0, term, NodeId(1)), sequence: counter.into() };
    let (sent, answered) = (Duration::from_millis(sent), Duration::from_millis(sent + 10));
    let id = PayloadId { client: 1, counter };
    Operation { id, space: 0, level, sent, answered, line: 0, told: Told::Appended(place) }
}

fn log(operations: &[Operation]) -> Vec<LogEntry> {
    let entry = |(operation, place): (&Operation, Place)| LogEntry {
        place,
        written: Written::Client(operation.id),
        payload_crc: 0,
        digest: 0,
    };
    super::acknowledged(operations).map(entry).collect()
}

#[test]
fn what_is_lost_is_within_the_limit_of_its_epoch() {
    let sent_at = |times: &[u64]| -> Vec<Operation> {
        (1..).zip(times).map(|(counter, sent)| acknowledged(Level::Local, 1, counter, *sent)).collect()
    };
    let findings = |operations: &[Operation], kept: &[Operation]| beyond(&lost(operations, &log(kept), 1), LIMIT);
    let young = sent_at(&[0, 1_000, 2_010]);
    assert_eq!(findings(&young, &[]), [] as [String; 0]);
    let old = sent_at(&[0, 1_000, 2_011]);
    assert_eq!(findings(&old, &[]).len(), 1, "by age");
    assert_eq!(findings(&old, &old[..1]), [] as [String; 0], "the first was committed");
    let many = sent_at(&[0; 50]);
    assert_eq!(findings(&many, &[]).len(), 1, "by bytes");
    assert_eq!(findings(&many, &many), [] as [String; 0]);
    let elsewhere = acknowledged(Level::Local, 2, 1, 0);
    assert_eq!(lost(&[elsewhere], &log(&many), 1).len(), 1, "another epoch's place is another place");
}

#[test]
fn nothing_that_is_sent_after_a_later_epoch_answered_is_acknowledged_in_an_earlier_one() {
    let next = acknowledged(Level::Local, 2, 1, 100);
    for (level, sent, found) in
        [(Level::Quorum, 110, 0), (Level::Quorum, 111, 1), (Level::All, 111, 1), (Level::Local, 111, 0)]
    {
        let past = acknowledged(level, 1, 2, sent);
        assert_eq!(outdated(&[past, next.clone()]).len(), found, "{level:?} at {sent}");
    }
}

#[test]
fn nothing_is_acknowledged_at_all_while_a_node_is_away() {
    let away = [(Duration::from_millis(100), Duration::from_millis(200))];
    for (level, sent, found) in [
        (Level::All, 100, 0),
        (Level::All, 101, 1),
        (Level::All, 189, 1),
        (Level::All, 190, 0),
        (Level::Quorum, 150, 0),
    ] {
        assert_eq!(incomplete(&[acknowledged(level, 1, 1, sent)], &away).len(), found, "{level:?} at {sent}");
    }
}
