//! A node whose files may not grow: it stops or ends, and what it acknowledged is there.

use core::time::Duration;
use std::net::TcpStream;
use std::process::ExitStatus;
use std::sync::Mutex;

use alloc::sync::Arc;

use super::super::support::eventually;
use super::clients::{Target, exchange, told};
use super::cluster::{Cluster, Manner, ended_by_file_size};
use super::files;
use super::history::{Level, Operation, Told};
use super::judge::{SpaceLogs, When, judge};
use super::payload::PayloadId;
use super::schedule::FILE_BYTES_MIN;

const SEED: u64 = 1;
/// No other node is needed for it.
const TARGETS: &[Target] = &[Target { name: "orders", primary: 1, voters: &[1] }];

/// Appends one entry at Local and says what became of it.
fn append(cluster: &Cluster, counter: u32) -> Operation {
    let id = PayloadId { client: 0, counter };
    let sent = Duration::from_millis(u64::from(counter));
    let stream = cluster.door(1).and_then(|door| TcpStream::connect(door).ok());
    let path = "/v1/spaces/orders/entries?ack=local";
    let answer =
        stream.and_then(|stream| exchange(stream, "POST", path, "text/plain", &id.bytes(SEED), Duration::from_secs(9)));
    let told = answer.map_or(Told::Nothing, |(_, text)| told(&text, 1).remove(0));
    Operation { id, space: 0, level: Level::Local, sent, answered: sent, line: 0, told }
}

/// Appends until the space has stopped, or there is nobody who answers. A disk that is slow today may leave some unknown.
fn append_until_it_ends(cluster: &mut Cluster) -> (Vec<Operation>, Option<ExitStatus>) {
    let mut operations = Vec::new();
    loop {
        let operation = append(cluster, u32::try_from(operations.len()).expect("few") + 1);
        let stopped = operation.told == Told::Failed("stopped".to_owned());
        if operation.told == Told::Nothing {
            // It has ended, or is about to.
            std::thread::sleep(Duration::from_millis(5));
        }
        operations.push(operation);
        let ended = cluster.ended().into_iter().next().map(|(_, status)| status);
        if stopped || ended.is_some() {
            return (operations, ended);
        }
        assert!(operations.len() < 20_000, "the limit is never felt");
    }
}

fn check(told: bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::new(directory.path(), SEED, TARGETS, "", Arc::new(Mutex::new([None; 3])));
    cluster.start(1, Manner::Short { bytes: FILE_BYTES_MIN, told }).expect("it starts");
    let (operations, ended) = append_until_it_ends(&mut cluster);
    assert!(operations.len() > 20, "there was room at first: {operations:?}");
    if told {
        assert_eq!(append(&cluster, 30_000).told, Told::Failed("stopped".to_owned()));
        assert_eq!((ended, cluster.ended()), (None, vec![]), "it tells, and goes on");
        // What a node logs goes through a thread of this test's into its file, while answers come directly: that thread may
        // not have had a processor yet.
        eventually("the line in the log", || match cluster.logged(1) {
            logged if logged.contains("orders stopped: ") => Ok(()),
            _ => Err(cluster.last_words(1)),
        });
        cluster.terminate(1).expect("it ran");
    } else {
        let ended = ended.expect("it does not tell");
        assert!(ended_by_file_size(ended), "{ended}");
    }
    assert_eq!(files::damage(&cluster.data(1), true), [""; 0]);
    let judged = |operations: &[Operation]| {
        let log = files::read_log(&cluster.data(1), "orders", SEED);
        let space = SpaceLogs { logs: [(1, log)].into(), ..SpaceLogs::default() };
        judge(&[space], operations, &[], When::Killed)
    };
    assert_eq!(judged(&operations), []);
    let appended = operations.iter().find(|operation| matches!(operation.told, Told::Appended(_))).expect("one");
    let lost = Operation { told: appended.told.clone(), ..operations.last().expect("some").clone() };
    assert_ne!(judged(&[lost]), [], "the judge sees what is there");
    cluster.start(1, Manner::Plain).expect("there is room");
    let mut more = operations.clone();
    while !matches!(more.last().expect("some").told, Told::Appended(_)) {
        assert!(more.len() < operations.len() + 1_000, "no primary: {}", cluster.last_words(1));
        more.push(append(&cluster, u32::try_from(more.len()).expect("few") + 1));
    }
    assert!(cluster.terminate(1).expect("it ran").success());
    let log = files::read_log(&cluster.data(1), "orders", SEED);
    let space = SpaceLogs { logs: [(1, log)].into(), ..SpaceLogs::default() };
    assert_eq!(judge(&[space], &more, &[], When::Healed), []);
}

#[test]
fn a_node_that_is_told_stops_the_space_and_keeps_what_it_acknowledged() {
    check(true);
}

#[test]
fn a_node_that_is_ended_in_a_write_keeps_what_it_acknowledged() {
    check(false);
}
