//! `engraft salvage`: what was truncated, as people and programs are shown it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use engraft::types::entry::chain_start;
use engraft::types::{
    ClusterId, Control, Entry, Epoch, NodeId, Position, Sequence, SpaceName, WalEntryType, entry::control_payload,
};
use engraft::wal::StdDisk;
use engraft::wal::salvage::{SalvagePlace, save};

use super::support::{code, engraft, stderr, stdout};

/// A data directory with a salvage file of an epoch's start and two entries, 4 to 6 of e1n1.
fn salvaged(data: &Path, space: &str) -> PathBuf {
    let (name, cluster) = (SpaceName::new(space).expect("a name"), ClusterId::from_name("test").expect("a name"));
    let epoch = Epoch::new(0, 1, NodeId(1));
    let mut previous = Position { epoch, sequence: Sequence(3), chain: chain_start(cluster, name.id()) };
    let contents = [
        (WalEntryType::Checkpoint, Control::epoch_start(), control_payload(Sequence(4), b"")),
        (WalEntryType::EpisodeStore, Control::user(), "one".into()),
        (WalEntryType::MemoryDelete, Control::user(), "t\"wo".into()),
    ];
    let entries: Vec<Entry> = contents
        .into_iter()
        .map(|(kind, control, payload)| {
            let entry = Entry::following(&previous, epoch, kind, control, 77, payload);
            previous = entry.position();
            entry
        })
        .collect();
    let directory = data.join("salvage").join(space);
    let place = SalvagePlace { directory: directory.clone(), cluster, node: NodeId(1), space: name };
    let read = |from: Sequence, _: u32, _: u64| {
        Ok(entries.iter().filter(|entry| entry.header.sequence() >= from).cloned().collect())
    };
    let header = save(&StdDisk, &place, Epoch::new(0, 2, NodeId(3)), (Sequence(4), Sequence(6)), read).expect("saved");
    directory.join(header.file_name())
}

fn salvage(arguments: &[&str], path: &Path) -> Output {
    engraft().arg("salvage").args(arguments).arg(path).output().expect("it runs")
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    assert_eq!(code(output), Some(0), "{}", stderr(output));
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"))).collect()
}

#[test]
fn files_are_listed_and_their_entries_shown_and_exported() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, path) = (directory.path(), salvaged(directory.path(), "orders"));
    salvaged(data, "audit");
    let name = format!("salvage/orders/{}", path.file_name().expect("a name").to_string_lossy());
    let listed = lines(&salvage(&["list", "--json", "--space", "orders"], data));
    let expected = serde_json::json!([{
        "file": name, "space": "orders", "node": 1, "by": "e2n3", "entries": 3, "bytes": 3 * 64 + 8 + 3 + 4,
        "first_sequence": 4, "first_epoch": "e1n1", "last_sequence": 6, "last_epoch": "e1n1",
    }]);
    assert_eq!(serde_json::Value::from(listed), expected);
    assert_eq!(lines(&salvage(&["list", "--json"], data)).len(), 2);
    let text = stdout(&salvage(&["list"], data));
    assert!(text.contains("of n1: 3 entries of 207 bytes, e1n1#4 to e1n1#6, replaced by e2n3"), "{text}");

    let shown = lines(&salvage(&["show", "--json", "--payload"], &path));
    assert_eq!(shown.iter().map(|line| line["sequence"].as_u64()).collect::<Vec<_>>(), [Some(4), Some(5), Some(6)]);
    assert_eq!((&shown[0]["control"], &shown[1]["payload"], &shown[2]["type"]), (&1.into(), &"b25l".into(), &3.into()));
    assert!(shown[1]["control"].is_null());
    let text = stdout(&salvage(&["show", "--payload", "--space", "orders"], data));
    assert!(text.lines().nth(2).is_some_and(|line| line.ends_with("\"t\\\"wo\"")), "{text}");

    assert_eq!(stdout(&salvage(&["export", "--space", "orders"], data)), "one\nt\"wo\n");
    let exported = lines(&salvage(&["export", "--json"], &path));
    assert_eq!(exported.iter().map(|line| &line["payload"]).collect::<Vec<_>>(), ["b25l", "dCJ3bw=="]);
}

#[test]
fn a_damaged_file_exits_4_with_file_and_offset_and_nothing_of_it_is_exported() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, path) = (directory.path(), salvaged(directory.path(), "orders"));
    salvaged(data, "audit");
    let mut bytes = fs::read(&path).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).expect("written");
    for command in ["list", "show", "export"] {
        let output = salvage(&[command, "--space", "orders"], data);
        assert_eq!((code(&output), stdout(&output).as_str()), (Some(4), ""), "{command}");
        let offset = format!("at offset {}", 192 + 64 + 8 + 64 + 3);
        for words in [path.to_string_lossy().as_ref(), &offset, "nothing was changed"] {
            assert!(stderr(&output).contains(words), "{command}: {}", stderr(&output));
        }
    }
    let output = salvage(&["list"], data);
    assert_eq!(code(&output), Some(4));
    assert!(stdout(&output).contains("salvage/audit/"), "the others are listed: {}", stdout(&output));
}

#[test]
fn a_path_that_leads_nowhere_is_told_from_a_node_that_lost_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    for command in ["list", "show", "export"] {
        let output = salvage(&[command], &directory.path().join("nowhere"));
        assert_eq!(code(&output), Some(2), "{command}: {}", stderr(&output));
        assert!(stderr(&output).contains("expected a node's data directory"), "{}", stderr(&output));
        let output = salvage(&[command], directory.path());
        assert_eq!((code(&output), stdout(&output).as_str()), (Some(0), ""), "{command}");
        assert!(stderr(&output).contains("nothing was salvaged"), "{}", stderr(&output));
    }
    let foreign = directory.path().join("foreign");
    fs::write(&foreign, "no salvage file").expect("written");
    assert_eq!(code(&salvage(&["show"], &foreign)), Some(4));
    assert_eq!(code(&salvage(&["list", "--space", "../../etc"], directory.path())), Some(2), "a name is no path");
}
