//! Configurations of every wrong shape, and what the right ones come to.

use core::time::Duration;
use std::path::Path;

use engraft::core::Ack;
use engraft::driver::config::{FIELDS, NodeConfig, Overrides, environment_name};
use engraft::types::{FsyncMode, NodeId};

use super::support::{code, engraft, stderr, stdout};

/// A configuration that holds.
const GOOD: &str = r#"node = 2
cluster = "shop"
listen = "127.0.0.1:7402"
http = "127.0.0.1:7482"
data_dir = "/srv/shop-n2"

[[peers]]
id = 3
address = "127.0.0.1:7403"

[[peers]]
id = 1
address = "127.0.0.1:7401"
http = "127.0.0.1:7481"

[[spaces]]
name = "orders"
primary = 1
ack = "quorum"
"#;

fn parse(text: &str) -> Result<NodeConfig, String> {
    parse_with(text, &Overrides::default())
}

fn parse_with(text: &str, overrides: &Overrides) -> Result<NodeConfig, String> {
    NodeConfig::parse(Path::new("node.toml"), text, overrides).map_err(|error| error.to_string())
}

fn good() -> NodeConfig {
    parse(GOOD).expect("it holds")
}

/// The text is refused, and the error says all of this.
fn refused(text: &str, says: &[&str]) {
    let error = parse(text).expect_err(text);
    for part in ["node.toml", "expected ", "found ", "for example `"].iter().chain(says) {
        assert!(error.contains(part), "{part:?} is not in: {error}\nfor:\n{text}");
    }
}

#[test]
fn voters_default_to_the_primary_and_the_first_replicas_by_id() {
    let config = good();
    assert_eq!(config.spaces[0].config.voters, [1, 2, 3].map(NodeId));
    let config = parse(&format!("replica_count = 1\n{GOOD}")).expect("it holds");
    assert_eq!(config.spaces[0].config.voters, [1, 2].map(NodeId));
    let config = parse(&format!("replica_count = 0\n{GOOD}")).expect("it holds");
    assert_eq!(config.spaces[0].config.voters, [NodeId(1)]);
    assert_eq!(config.own_spaces().count(), 0, "a node that is no voter has no log of the space");
}

#[test]
fn defaults_are_those_of_the_library() {
    let config = good();
    assert_eq!(config.replication.batch_entries, 100);
    assert_eq!(config.replication.append_timeout, Duration::from_secs(5));
    assert_eq!(config.spaces[0].config.fsync, FsyncMode::PerBatch);
    assert_eq!(config.spaces[0].config.ack, Ack::Quorum);
    assert_eq!(config.peers.iter().map(|peer| peer.id.0).collect::<Vec<_>>(), [1, 3], "peers are in the order of ids");
    assert_eq!(config.replication.peers, [1, 3].map(NodeId));
}

#[test]
fn all_nodes_may_share_one_file() {
    let shared = format!("{GOOD}\n[[peers]]\nid = 2\naddress = \"127.0.0.1:7402\"\n");
    assert_eq!(parse(&shared).expect("it holds"), good());
}

#[test]
fn numbers_are_taken_with_units_and_without() {
    let text = format!(
        "{GOOD}\n[replication]\nbatch_bytes = 65_536\nwindow_bytes = \"2MiB\"\nbatch_delay = \"2500us\"\n\
         [pool]\nbackoff = [\"1s\", \"1min\"]\n"
    );
    let config = parse(&text).expect("it holds");
    assert_eq!(config.replication.batch_bytes, 65_536);
    assert_eq!(config.replication.window_bytes, 2 << 20);
    assert_eq!(config.replication.batch_delay, Duration::from_micros(2_500));
    assert_eq!(config.replication.pool.backoff, [1, 60].map(Duration::from_secs));
}

#[test]
fn what_is_printed_is_read_back_as_the_same_configuration() {
    let text = format!(
        "{GOOD}voters = [3, 1]\nfsync = \"timer\"\n[[spaces]]\nname = \"audit\"\nprimary = 3\n[replication]\nbatch_delay = \"3ms\"\nseed = 9\n\
         [clients]\nread_bytes_max = 5000\n[pool]\nbackoff = [\"90s\"]\n"
    );
    let config = parse(&text).expect("it holds");
    let printed = config.to_toml();
    assert_eq!(parse(&printed).expect(&printed), config);
}

#[test]
fn every_number_can_be_set_and_every_example_holds() {
    for field in FIELDS {
        let text = format!("{GOOD}\n[{}]\n{} = {}\n", field.table(), field.name(), field.example);
        parse(&text).unwrap_or_else(|error| panic!("the example of {} is refused: {error}", field.key));
    }
}

#[test]
fn no_number_of_the_protocol_or_of_the_log_is_out_of_reach() {
    // What tells who the node is, and what the shell fills in, is no number that an operator sets.
    let others = ["node", "cluster", "incarnation", "peers", "pool", "clock_origin"];
    let config = good();
    for (table, shown) in [
        ("replication", format!("{:#?}", config.replication)),
        ("pool", format!("{:#?}", config.replication.pool)),
        ("wal", format!("{:#?}", config.wal)),
        ("clients", format!("{:#?}", config.clients)),
    ] {
        let names = shown.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
        let mut names: Vec<&str> = names.map(|(name, _)| name).collect();
        names.retain(|name| !name.starts_with(' ') && !others.contains(name));
        let mut known: Vec<&str> =
            FIELDS.iter().filter(|field| field.table() == table).map(|field| field.name()).collect();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known, "[{table}]");
    }
}

#[test]
fn a_number_out_of_its_bounds_is_refused_with_its_key() {
    let cases = [
        ("replication", "heartbeat_interval", "\"0ms\"", "\"11s\""),
        ("replication", "election_timeout_min", "\"299ms\"", "\"61min\""),
        ("replication", "election_timeout_max", "\"1099ms\"", "\"121min\""),
        ("replication", "lease_percent", "9", "91"),
        ("replication", "exposure_bytes_max", "\"15MiB\"", "\"1025GiB\""),
        ("replication", "exposure_age_max", "\"0ms\"", "\"61min\""),
        ("replication", "alone_after", "\"999ms\"", "\"121min\""),
        ("replication", "stall_limit", "\"0ms\"", "\"61min\""),
        ("replication", "batch_entries", "0", "100001"),
        ("replication", "batch_bytes", "4095", "\"65MiB\""),
        ("replication", "batch_delay", "\"-1ms\"", "\"1001ms\""),
        ("replication", "window_bytes", "\"1023KiB\"", "\"5GiB\""),
        ("replication", "window_batches", "0", "65537"),
        ("replication", "retransmit_after", "\"0ms\"", "\"61s\""),
        ("replication", "tail_bytes", "\"1023KiB\"", "\"1025GiB\""),
        ("replication", "entry_bytes_max", "0", "\"257MiB\""),
        ("replication", "append_entries_max", "0", "16777217"),
        ("replication", "append_bytes_max", "\"15MiB\"", "\"1025GiB\""),
        ("replication", "append_timeout", "\"0ms\"", "\"61min\""),
        ("replication", "lag_alert", "\"0ms\"", "\"61min\""),
        ("replication", "lag_critical", "\"999ms\"", "\"61min\""),
        ("replication", "status_hold", "\"-1s\"", "\"61min\""),
        ("replication", "link_bulk_bytes", "1023", "\"17MiB\""),
        ("replication", "shutdown_drain", "\"-1s\"", "\"61min\""),
        ("pool", "connect_timeout", "\"0ms\"", "\"61min\""),
        ("pool", "read_timeout", "\"299ms\"", "\"61min\""),
        ("pool", "write_timeout", "\"0ms\"", "\"61min\""),
        ("pool", "keepalive", "\"999ms\"", "\"61min\""),
        ("pool", "backoff", "[]", "[\"1s\", \"61min\"]"),
        ("pool", "max_retries", "0", "101"),
        ("wal", "segment_bytes_min", "4095", "\"65MiB\""),
        ("wal", "segment_bytes_max", "4095", "\"2GiB\""),
        ("wal", "group_entries", "0", "1000001"),
        ("wal", "group_bytes", "4095", "\"2GiB\""),
        ("wal", "files_open_max", "0", "1000001"),
        ("wal", "indexes_max", "0", "1000001"),
        ("wal", "reserve_bytes", "-1", "\"2GiB\""),
        ("wal", "close_timeout", "\"0ms\"", "\"61min\""),
        ("clients", "connections_max", "0", "1000001"),
        ("clients", "head_timeout", "\"0ms\"", "\"61min\""),
        ("clients", "head_bytes_max", "8191", "\"2MiB\""),
        ("clients", "write_timeout", "\"0ms\"", "\"61min\""),
        ("clients", "body_bytes_max", "1023", "\"2GiB\""),
        ("clients", "bodies_bytes_max", "\"31MiB\"", "\"65GiB\""),
        ("clients", "body_timeout", "\"0ms\"", "\"61min\""),
        ("clients", "read_entries_max", "0", "1000001"),
        ("clients", "read_bytes_max", "1023", "\"2GiB\""),
        ("clients", "drain_timeout", "\"-1s\"", "\"61min\""),
    ];
    for (table, key, low, high) in cases {
        for value in [low, high] {
            let lines = GOOD.lines().count() + 3;
            let text = format!("{GOOD}\n[{table}]\n{key} = {value}\n");
            refused(&text, &[&format!("node.toml:{lines}: `{table}.{key}`"), &format!("`{key} = ")]);
        }
    }
    let untested = FIELDS.iter().map(|field| field.name()).filter(|name| cases.iter().all(|case| case.1 != *name));
    assert_eq!(untested.collect::<Vec<_>>(), ["seed"], "every number with bounds is in the list above");
}

#[test]
fn a_value_of_another_type_is_refused() {
    let replace = |from: &str, to: &str| GOOD.replacen(from, to, 1);
    refused(&replace("node = 2", "node = \"2\""), &["node.toml:1: `node`", "found \"2\"", "`node = 1`"]);
    refused(&replace("node = 2", "node = 0"), &["`node`", "1 to 65535"]);
    refused(&replace("node = 2", "node = 65536"), &["`node`", "found 65536"]);
    refused(&replace("node = 2", "node = 1.5"), &["`node`", "found 1.5"]);
    refused(&replace("node = 2", "node = {}"), &["`node`", "found a table"]);
    refused(&replace("\"shop\"", "7"), &["node.toml:2: `cluster`", "found 7"]);
    refused(&replace("\"shop\"", "\"Sh op\""), &["`cluster`", "3 to 64 characters"]);
    refused(&replace("\"127.0.0.1:7402\"", "\"127.0.0.1\""), &["node.toml:3: `listen`", "host:port"]);
    refused(&replace("\"127.0.0.1:7402\"", "\":7402\""), &["`listen`"]);
    refused(&replace("\"127.0.0.1:7402\"", "\"127.0.0.1:70000\""), &["`listen`"]);
    refused(&replace("\"127.0.0.1:7482\"", "true"), &["`http`", "found true"]);
    refused(&replace("\"/srv/shop-n2\"", "\"\""), &["node.toml:5: `data_dir`"]);
    refused(&replace("id = 3", "id = -3"), &["`peers[0].id`", "found -3"]);
    refused(&replace("\"127.0.0.1:7403\"", "\"127.0.0.1:0\""), &["`peers[0].address`", "port"]);
    refused(&replace("primary = 1", "primary = 4"), &["`spaces[0].primary`", "1, 2, 3", "found 4"]);
    refused(&replace("\"orders\"", "\"or\""), &["`spaces[0].name`", "found \"or\""]);
    refused(&replace("\"quorum\"", "\"most\""), &["`spaces[0].ack`", "\"quorum\" or \"all\"", "found \"most\""]);
    refused(&format!("{GOOD}fsync = 3\n"), &["`spaces[0].fsync`", "per_batch", "found 3"]);
    refused(&format!("{GOOD}\n[replication]\nbatch_delay = 10\n"), &["`replication.batch_delay`", "found 10"]);
    refused(&format!("{GOOD}\n[replication]\nbatch_bytes = \"1 MeB\"\n"), &["found \"1 MeB\""]);
    refused(&format!("{GOOD}\n[replication]\nbatch_entries = \"100\"\n"), &["found \"100\""]);
    refused(&format!("replication = 3\n{GOOD}"), &["`replication`", "a table", "found 3"]);
    refused(&format!("replica_count = 7\n{GOOD}"), &["`replica_count`", "0 to 6"]);
    refused(&format!("replica_count = 3\n{GOOD}"), &["node.toml:1: `replica_count`", "at most", "2"]);
    refused("peers = 3\n", &["node.toml:1: `peers`", "a list of tables"]);
    refused("spaces = [1]\n", &["`spaces[0]`", "a table", "found 1"]);
}

#[test]
fn a_missing_key_is_named() {
    for key in ["node", "cluster", "listen", "data_dir"] {
        let text: String = GOOD.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect();
        refused(&text, &[&format!("`{key}`"), "found nothing"]);
    }
    refused(
        &GOOD.replacen("address = \"127.0.0.1:7403\"\n", "", 1),
        &["node.toml:7: `peers[0].address`", "found nothing"],
    );
    refused(&GOOD.replacen("primary = 1\n", "", 1), &["`spaces[0].primary`", "found nothing"]);
    let alone = "node = 1\ncluster = \"shop\"\nlisten = \"h:1\"\ndata_dir = \"d\"\n[[spaces]]\nname = \"orders\"\nprimary = 1\n";
    refused(alone, &["`replica_count`", "found 2 (the default)", "`replica_count = 0`"]);
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    refused(&format!("nodes = 3\n{GOOD}"), &["node.toml:1: `nodes`", "replica_count", "an unknown key"]);
    refused(&format!("{GOOD}\n[replicaton]\nbatch_delay = \"1ms\"\n"), &["`replicaton`", "an unknown key"]);
    refused(&format!("{GOOD}\n[replication]\nbatch_size = 3\n"), &["`replication.batch_size`", "batch_entries"]);
    refused(&format!("{GOOD}voter = [1]\n"), &["`spaces[0].voter`", "voters"]);
    refused(&GOOD.replacen("address", "adress", 1), &["`peers[0].address`", "found nothing"]);
    refused(&GOOD.replacen("id = 3", "id = 3\nport = 4", 1), &["node.toml:9: `peers[0].port`", "an unknown key"]);
}

#[test]
fn what_is_named_twice_or_does_not_fit_together_is_refused() {
    refused(&GOOD.replacen("id = 3", "id = 1", 1), &["`peers[1].id`", "1 a second time"]);
    let twice = format!("{GOOD}\n[[spaces]]\nname = \"orders\"\nprimary = 2\n");
    refused(&twice, &["`spaces[1].name`", "\"orders\" a second time"]);
    for voters in ["[]", "[2, 3]", "[1, 1]", "[1, 9]", "[\"1\"]", "1"] {
        refused(&format!("{GOOD}voters = {voters}\n"), &["`spaces[0].voters`", "the primary 1 among them"]);
    }
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    refused(&format!("{GOOD}\nnode ==\n"), &[&format!("node.toml:{}:", GOOD.lines().count() + 2)]);
    refused(&format!("node = 2\n{GOOD}"), &["node.toml:2:", "duplicate key"]);
}

#[test]
fn the_environment_comes_over_the_file_and_flags_over_both() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut overrides = Overrides {
        environment: vec![
            pair("ENGRAFT_REPLICATION_BATCH_ENTRIES", "7"),
            pair("ENGRAFT_POOL_BACKOFF", "1s, 2s"),
            pair("ENGRAFT_CLUSTER", "1234"),
            pair("ENGRAFT_PORT", "tcp://10.0.0.1:80"),
            pair("BATCH_ENTRIES", "8"),
        ],
        flags: Vec::new(),
    };
    let text = format!("{GOOD}\n[replication]\nbatch_entries = 6\n");
    let config = parse_with(&text, &overrides).expect("it holds");
    assert_eq!(config.replication.batch_entries, 7);
    assert_eq!(config.replication.pool.backoff, [1, 2].map(Duration::from_secs));
    assert_eq!(config.cluster, "1234", "text of digits is text");
    overrides.flags.push(pair("replication.batch_entries", "9"));
    assert_eq!(parse_with(&text, &overrides).expect("it holds").replication.batch_entries, 9);

    overrides.environment.push(pair(&environment_name("replication.lag_alert"), "soon"));
    let error = parse_with(&text, &overrides).expect_err("no time");
    assert!(error.contains("ENGRAFT_REPLICATION_LAG_ALERT") && error.contains("found \"soon\""), "{error}");
    overrides.environment.pop();
    overrides.flags.push(pair("replication.batch", "9"));
    let error = parse_with(&text, &overrides).expect_err("no key");
    assert!(error.contains("by a flag") && error.contains("`replication.batch`"), "{error}");
}

#[test]
fn the_binary_exits_3_and_names_file_key_and_example() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bad.toml");
    std::fs::write(&file, GOOD.replacen("\"quorum\"", "\"most\"", 1)).expect("written");
    for command in [&["config", "check"][..], &["config", "print"], &["serve", "--config"]] {
        let output = engraft().args(command).arg(&file).output().expect("it runs");
        let said = stderr(&output);
        assert_eq!(code(&output), Some(3), "{command:?}: {said}");
        assert_eq!(stdout(&output), "", "{command:?}");
        for part in ["bad.toml:19", "`spaces[0].ack`", "expected \"local\"", "found \"most\"", "`ack = \"quorum\"`"] {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    }
    let output = engraft().args(["serve", "--config", "/nowhere/node.toml"]).output().expect("it runs");
    assert_eq!(code(&output), Some(3));
    assert!(stderr(&output).contains("/nowhere/node.toml"), "{}", stderr(&output));
}

#[test]
fn check_and_print_take_the_overrides_that_serve_takes() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("node.toml");
    std::fs::write(&file, GOOD).expect("written");
    let output = engraft().args(["config", "check"]).arg(&file).output().expect("it runs");
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let print = |set: &str| {
        let output = engraft()
            .args(["config", "print", "--set", set])
            .arg(&file)
            .env("ENGRAFT_LISTEN", "127.0.0.1:1")
            .output()
            .expect("it runs");
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        parse(&stdout(&output)).expect("what is printed holds")
    };
    let config = print("replication.batch_entries=12");
    assert_eq!((config.replication.batch_entries, config.listen.as_str()), (12, "127.0.0.1:1"));
}

#[test]
fn arguments_that_make_no_sense_exit_2() {
    for arguments in [&["serv"][..], &["serve"], &["config", "check"], &["config", "check", "x", "--set", "y"], &[]] {
        let output = engraft().args(arguments).output().expect("it runs");
        assert_eq!(code(&output), Some(2), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn the_example_is_what_each_of_its_nodes_can_start_with() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/node.toml");
    let voters = |node: u16| {
        let flags = vec![("node".to_owned(), node.to_string())];
        let config = NodeConfig::load(&file, &Overrides { flags, ..Overrides::default() }).expect("it holds");
        assert_eq!(config.peers.len(), 2);
        let defaults = parse(GOOD).expect("it holds");
        assert_eq!((config.clients, config.wal), (defaults.clients, defaults.wal));
        assert_eq!(config.replication.batch_delay, defaults.replication.batch_delay);
        config.spaces.into_iter().map(|space| space.config.voters).collect::<Vec<_>>()
    };
    assert_eq!(voters(1), [[1, 2, 3].map(NodeId).to_vec(), [1, 2].map(NodeId).to_vec()]);
    assert_eq!(voters(1), voters(3), "all nodes see the same voters");
}
