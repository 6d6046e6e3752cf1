//! Doctored histories and logs: each rule can fail.

use core::time::Duration;

use engraft::types::NodeId;

use super::*;

fn place(sequence: u64) -> Place {
    Place { epoch: Epoch::new(0, 1, NodeId(1)), sequence }
}

fn id(counter: u32) -> PayloadId {
    PayloadId { client: 1, counter }
}

/// An epoch's start, then the payloads 2 to `last`, each in the place of that number.
fn log(last: u32) -> Vec<LogEntry> {
    let client = (2..=last).map(|counter| LogEntry {
        place: place(counter.into()),
        written: Written::Client(id(counter)),
        payload_crc: counter,
        digest: counter.into(),
    });
    let start = LogEntry { place: place(1), written: Written::Start, payload_crc: 1, digest: 1 };
    core::iter::once(start).chain(client).collect()
}

fn space(lengths: [u32; 3]) -> SpaceLogs {
    SpaceLogs { logs: (1..).zip(lengths.map(log)).collect(), salvaged: BTreeMap::new() }
}

fn operation(counter: u32, level: Level, told: Told) -> Operation {
    let sent = Duration::from_millis(u64::from(counter) * 10);
    Operation { id: id(counter), space: 0, level, sent, answered: sent + Duration::from_millis(5), line: 0, told }
}

fn appended(counter: u32, level: Level) -> Operation {
    operation(counter, level, Told::Appended(place(counter.into())))
}

fn rules(space: &SpaceLogs, operations: &[Operation], when: When) -> Vec<Rule> {
    judge(core::slice::from_ref(space), operations, &[], when).into_iter().map(|finding| finding.rule).collect()
}

#[test]
fn each_level_is_judged_by_the_nodes_that_it_names() {
    for (level, enough, too_few, rule) in [
        (Level::Local, [9, 1, 1], [8, 1, 1], Rule::Local),
        (Level::Quorum, [9, 9, 1], [9, 8, 8], Rule::Quorum),
        (Level::All, [9, 9, 9], [9, 9, 8], Rule::All),
    ] {
        let operations = [appended(2, Level::Local), appended(9, level)];
        assert_eq!(rules(&space(enough), &operations, When::Killed), []);
        assert_eq!(rules(&space(too_few), &operations, When::Killed), [rule]);
    }
    let elsewhere = operation(5, Level::Local, Told::Appended(place(6)));
    assert_eq!(rules(&space([9, 9, 9]), &[elsewhere], When::Killed), [Rule::Local]);
    let other = Place { epoch: Epoch::new(0, 2, NodeId(1)), sequence: 5 };
    let elsewhere = operation(5, Level::Quorum, Told::Appended(other));
    assert_eq!(rules(&space([9, 9, 9]), &[elsewhere], When::Killed), [Rule::Quorum]);
}

#[test]
fn logs_that_differ_in_length_are_judged_after_healing_only() {
    assert_eq!(rules(&space([9, 8, 1]), &[], When::Killed), []);
    assert_eq!(rules(&space([9, 8, 8]), &[], When::Healed), [Rule::Converged; 2]);
    assert_eq!(rules(&space([8, 9, 8]), &[], When::Killed), []);
}

#[test]
fn a_payload_stands_once_in_a_log() {
    let mut doctored = space([9, 9, 9]);
    for log in doctored.logs.values_mut() {
        log.push(LogEntry { place: place(10), written: Written::Client(id(4)), payload_crc: 4, digest: 10 });
    }
    assert_eq!(rules(&doctored, &[], When::Healed), [Rule::Once; 3]);
}

#[test]
fn gaps_strangers_and_epochs_that_go_back_are_found() {
    let mut gap = space([9, 9, 9]);
    for log in gap.logs.values_mut() {
        log.remove(3);
    }
    assert_eq!(rules(&gap, &[], When::Healed), [Rule::Contiguous; 3]);
    let mut back = space([9, 9, 9]);
    back.logs.values_mut().for_each(|log| log[3].place.epoch = Epoch::ZERO);
    assert_eq!(rules(&back, &[], When::Healed), [Rule::Contiguous; 3]);
    let mut stranger = space([9, 9, 9]);
    stranger.logs.values_mut().for_each(|log| log[3].written = Written::Nobody);
    assert_eq!(rules(&stranger, &[], When::Healed), [Rule::Sent; 3]);
}

#[test]
fn equal_places_hold_equal_bytes() {
    let mut doctored = space([9, 9, 9]);
    doctored.logs.get_mut(&2).expect("there")[4].digest = 77;
    assert_eq!(rules(&doctored, &[], When::Killed), [Rule::SameBytes]);
}

#[test]
fn logs_that_part_never_meet_again() {
    let of = |term: u32, entry: &mut LogEntry| entry.place.epoch = Epoch::new(0, term, NodeId(1));
    let mut parted = space([9, 9, 9]);
    of(2, &mut parted.logs.get_mut(&3).expect("there")[8]);
    assert_eq!(rules(&parted, &[], When::Killed), []);
    assert_eq!(rules(&parted, &[], When::Healed), [Rule::Converged; 2]);
    let mut met = space([9, 9, 9]);
    for log in met.logs.values_mut() {
        of(3, &mut log[8]);
    }
    of(2, &mut met.logs.get_mut(&3).expect("there")[7]);
    assert_eq!(rules(&met, &[], When::Killed), [Rule::Matching; 2]);
}

#[test]
fn what_was_acknowledged_at_local_and_truncated_is_in_a_salvage_file_of_its_primary() {
    let mut lost = space([8, 9, 9]);
    assert_eq!(rules(&lost, &[appended(9, Level::Local)], When::Killed), [Rule::Local]);
    let entry = lost.logs[&2][8];
    lost.salvaged.insert(2, vec![entry]);
    assert_eq!(rules(&lost, &[appended(9, Level::Local)], When::Killed), [Rule::Local], "another node's is no proof");
    lost.salvaged.insert(1, vec![entry]);
    assert_eq!(rules(&lost, &[appended(9, Level::Local)], When::Killed), []);
    let unknown = operation(9, Level::All, Told::Unknown { place: place(9), acked_by: vec![1, 2] });
    assert_eq!(rules(&lost, &[unknown], When::Killed), []);
    let failed = operation(9, Level::Local, Told::Failed("overloaded".into()));
    assert_eq!(rules(&SpaceLogs { logs: space([8, 8, 8]).logs, ..lost }, &[failed], When::Killed), [Rule::Failed]);
}

#[test]
fn what_is_unknown_is_where_it_was_said_to_be_or_nowhere() {
    let unknown = |counter: u32, at: u64, acked_by: &[u16]| {
        operation(counter, Level::All, Told::Unknown { place: place(at), acked_by: acked_by.to_vec() })
    };
    let logs = space([9, 9, 5]);
    assert_eq!(rules(&logs, &[unknown(9, 9, &[1, 2]), unknown(20, 20, &[])], When::Killed), []);
    assert_eq!(rules(&logs, &[unknown(9, 9, &[1, 3])], When::Killed), [Rule::Unknown]);
    assert_eq!(rules(&logs, &[unknown(9, 10, &[])], When::Killed), [Rule::Unknown]);
}

#[test]
fn what_failed_is_nowhere() {
    let failed = |counter| operation(counter, Level::Local, Told::Failed("overloaded".into()));
    assert_eq!(rules(&space([9, 9, 9]), &[failed(10)], When::Healed), []);
    assert_eq!(rules(&space([9, 3, 3]), &[failed(9)], When::Killed), [Rule::Failed]);
    assert_eq!(rules(&space([9, 3, 3]), &[operation(9, Level::All, Told::Nothing)], When::Killed), []);
}

#[test]
fn what_is_sent_after_an_answer_stands_behind_it() {
    let mut logs = space([9, 9, 9]);
    for log in logs.logs.values_mut() {
        (log[3].written, log[4].written) = (log[4].written, log[3].written);
    }
    let swapped =
        [operation(4, Level::Local, Told::Appended(place(5))), operation(5, Level::Local, Told::Appended(place(4)))];
    assert_eq!(rules(&logs, &swapped, When::Healed), [Rule::Order]);
    let gone = operation(3, Level::Local, Told::Unknown { place: place(30), acked_by: vec![] });
    assert_eq!(rules(&space([9, 9, 9]), &[gone], When::Healed), [Rule::Unknown], "it stands elsewhere");
    let gone = operation(1, Level::Local, Told::Unknown { place: place(30), acked_by: vec![] });
    assert_eq!(rules(&space([9, 9, 9]), &[gone, appended(4, Level::All)], When::Healed), [], "it is nowhere");
    let mut together = swapped.clone();
    together[1].sent = together[0].sent;
    assert_eq!(rules(&logs, &together, When::Healed), [], "two requests that overlap have no order");
    together[1].line = 1;
    assert_eq!(rules(&logs, &together, When::Healed), [Rule::Order], "the lines of one request have");
}

#[test]
fn what_a_reader_saw_is_on_a_majority() {
    let seen = |sequence: u64, payload_crc| Seen { space: 0, node: 3, place: place(sequence), payload_crc };
    let logs = [space([9, 9, 3])];
    assert_eq!(judge(&logs, &[], &[seen(9, 9), seen(1, 1)], When::Killed), []);
    for wrong in [seen(9, 8), seen(10, 10), seen(0, 0)] {
        assert_eq!(judge(&logs, &[], &[wrong], When::Killed)[0].rule, Rule::Read);
    }
    assert_eq!(judge(&[space([9, 8, 8])], &[], &[seen(9, 9)], When::Killed)[0].rule, Rule::Read);
}

#[test]
fn many_findings_of_one_rule_are_counted() {
    let operations: Vec<Operation> = (10..40).map(|counter| appended(counter, Level::Local)).collect();
    let found = judge(&[space([9, 9, 9])], &operations, &[], When::Healed);
    assert_eq!((found.len(), found[5].words.as_str()), (6, "and 25 more"));
}
