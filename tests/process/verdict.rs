//! What counts as lost.

use engraft::cli::demo::{Acknowledged, Found, Tally, Verdict};
use engraft::types::{Epoch, NodeId, Sequence};

fn entry(sequence: u64, digest: u64) -> Acknowledged {
    Acknowledged { sequence: Sequence(sequence), epoch: Epoch::new(0, 1, NodeId(1)), digest }
}

fn verdict(acknowledged: &[Acknowledged], logs: &[&[Acknowledged]]) -> Verdict {
    let mut tally = Tally::new(acknowledged.to_vec());
    for (node, log) in (1..).zip(logs) {
        tally.add_node(NodeId(node), log.iter().copied());
    }
    let verdict = tally.verdict();
    assert_eq!(verdict.acknowledged, acknowledged.len() as u64);
    assert_eq!(verdict.on_every_node + verdict.lost, verdict.acknowledged);
    verdict
}

fn found(verdict: &Verdict) -> Vec<(u16, Found)> {
    verdict.losses.iter().map(|loss| (loss.node.0, loss.found)).collect()
}

#[test]
fn an_entry_must_be_on_every_node() {
    let log = [entry(1, 10), entry(2, 20), entry(3, 30)];
    let good = verdict(&log, &[&log, &log, &log]);
    assert_eq!((good.on_every_node, good.lost, found(&good)), (3, 0, vec![]));
    let short = verdict(&log, &[&log, &log[..2], &log]);
    assert_eq!((short.on_every_node, short.lost, found(&short)), (2, 1, vec![(2, Found::Nothing)]));
    let twice = verdict(&log, &[&log[1..], &log[..2], &log[1..]]);
    assert_eq!(twice.lost, 2, "an entry that two nodes lack is lost once");
}

#[test]
fn the_order_of_answers_and_what_nobody_acknowledged_do_not_matter() {
    let log = [entry(1, 10), entry(2, 20), entry(3, 30), entry(4, 40)];
    let good = verdict(&[entry(3, 30), entry(1, 10)], &[&log, &log]);
    assert_eq!((good.on_every_node, good.lost), (2, 0));
}

#[test]
fn other_bytes_and_other_epochs_are_losses() {
    let log = [entry(1, 10), entry(2, 20)];
    let other_bytes = verdict(&log, &[&log, &[entry(1, 10), entry(2, 21)]]);
    assert_eq!((other_bytes.lost, found(&other_bytes)), (1, vec![(2, Found::OtherBytes)]));
    let epoch = Epoch::new(0, 2, NodeId(2));
    let other_epoch = verdict(&log, &[&log, &[entry(1, 10), Acknowledged { epoch, ..entry(2, 20) }]]);
    assert_eq!((other_epoch.lost, found(&other_epoch)), (1, vec![(2, Found::OtherEpoch(epoch))]));
}

#[test]
fn two_acknowledgements_need_two_entries() {
    let log = [entry(1, 10)];
    let same = verdict(&[entry(1, 10), entry(1, 10)], &[&log]);
    assert_eq!((same.on_every_node, same.lost), (1, 1));
    let other = verdict(&[entry(1, 10), entry(1, 11)], &[&log]);
    assert_eq!((other.on_every_node, other.lost, found(&other)), (1, 1, vec![(1, Found::OtherBytes)]));
}

#[test]
fn an_entry_that_is_there_stays_found_when_its_sequence_comes_again() {
    let log = [entry(1, 10), entry(1, 11), entry(2, 20)];
    let good = verdict(&[entry(1, 10), entry(2, 20)], &[&log]);
    assert_eq!((good.on_every_node, found(&good)), (2, vec![]));
}

#[test]
fn what_nobody_was_asked_about_is_not_proved() {
    assert_eq!(verdict(&[entry(1, 10)], &[]).lost, 1, "no node, no proof");
    assert_eq!(verdict(&[], &[&[]]).lost, 0);
}

#[test]
fn only_the_first_losses_of_each_node_are_described() {
    let log: Vec<_> = (1..=100).map(|sequence| entry(sequence, sequence)).collect();
    let gone = verdict(&log, &[&[], &[]]);
    assert_eq!((gone.lost, gone.losses.len()), (100, 10));
}
