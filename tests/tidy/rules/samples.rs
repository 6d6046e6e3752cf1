//! A bad sample for each rule, and a good one beside it.

use super::*;

fn lines(faults: &[Fault]) -> Vec<usize> {
    faults.iter().map(|fault| fault.line).collect()
}

#[test]
fn a_long_file_is_found() {
    let long = "//\n".repeat(401);
    assert_eq!(lines(&file_length("src/a.rs", &long, &[])), [401]);
    assert_eq!(file_length("src/a.rs", &long, &[("src/a.rs", "why")]), []);
    assert_eq!(file_length("src/a.rs", &"//\n".repeat(400), &[]), []);
    assert_eq!(file_length("docs/a.md", &long, &[]), []);
}

#[test]
fn a_long_function_is_found() {
    let long = format!("\nfn long() {{\n{}}}\n", "call();\n".repeat(69));
    assert_eq!(lines(&function_length("src/a.rs", &long, &[])), [2]);
    assert_eq!(function_length("src/a.rs", &long, &[("src/a.rs", "long", "why")]), []);
    let short = format!("fn short() {{\n{}}}\n", "call();\n".repeat(68));
    assert_eq!(function_length("src/a.rs", &short, &[]), []);
}

#[test]
fn an_import_upwards_is_found() {
    assert_eq!(lines(&imports("src/types/id.rs", "use crate::core::Event;")), [1]);
    assert_eq!(lines(&imports("src/wal/log.rs", "\nuse crate::{types::{Entry, Time}, core::Event};")), [2]);
    assert_eq!(lines(&imports("src/wal.rs", "fn f() { crate::driver::start() }")), [1]);
    assert_eq!(lines(&imports("src/core.rs", "use crate::wal::Disk;")), [1]);
    assert_eq!(lines(&imports("src/wire/frame.rs", "use crate::core::Event;")), [1]);
    assert_eq!(lines(&imports("src/driver/node.rs", "use crate::cli::Command;")), [1]);
    assert_eq!(lines(&imports("src/main.rs", "use engraft::core::Event;")), [1]);
    assert_eq!(lines(&imports("sim/src/world.rs", "use engraft::cli::serve;")), [1]);
    assert_eq!(lines(&imports("src/types/id.rs", "use super::super::core::Event;")), [1]);
    assert_eq!(lines(&imports("src/types.rs", "use super::core::Event;")), [1]);
}

#[test]
fn an_import_downwards_is_let_through() {
    let good = "use ::core::fmt;\nuse alloc::vec::Vec;\nuse crate::types::{Entry, Time};\nuse super::{Event, core};\n";
    assert_eq!(imports("src/core/event.rs", good), []);
    assert_eq!(imports("src/wal/log.rs", "// crate::core\nuse crate::types::Entry; use crate::wal::{Disk};"), []);
    assert_eq!(imports("src/driver/node.rs", "use crate::{core::Event, wire, wal::{Disk, core::x}};"), []);
    assert_eq!(imports("src/wal/log/file.rs", "use super::super::disk::Disk;"), []);
    assert_eq!(imports("sim/src/world.rs", "use engraft::core::Event;"), []);
    assert_eq!(imports("tests/story.rs", "use engraft::cli::x; use engraft_sim::World;"), []);
}

#[test]
fn the_world_in_the_core_is_found() {
    for bad in [
        "use std::fmt;",
        "let m: HashMap<u8, u8>;",
        "HashSet::new()",
        "Instant::now()",
        "SystemTime::now()",
        "thread::sleep(d)",
        "Mutex::new(1)",
        "static mut A: u8 = 0;",
        "rand::rng().next_u64()",
    ] {
        for path in ["src/core/a.rs", "src/types/a.rs", "src/wire.rs"] {
            assert_eq!(lines(&pure(path, &format!("\n{bad}"), &[])), [2], "{bad} in {path}");
        }
        assert_eq!(pure("src/driver/a.rs", bad, &[]), [], "{bad}");
    }
    assert_eq!(pure("src/core/a.rs", "// std::fmt, HashMap\nuse ::core::fmt;\nlet a = \"Instant\";", &[]), []);
    assert_eq!(pure("src/core/a.rs", "use std::fmt;", &[("src/core/a.rs", "std", "why")]), []);
}

#[test]
fn what_is_half_done_is_found() {
    for bad in ["todo!()", "unimplemented!()", "dbg!(a)"] {
        assert_eq!(lines(&half_done("tests/a.rs", bad)), [1], "{bad}");
    }
    assert_eq!(lines(&half_done("src/a.rs", "\n\na.unwrap()")), [3]);
    assert_eq!(half_done("tests/a.rs", "a.unwrap()"), []);
    let good = "a.unwrap_or_default() // todo!()\n#[cfg(test)]\nmod tests { fn f() { a.unwrap() } }";
    assert_eq!(half_done("src/a.rs", good), []);
}

#[test]
fn a_lint_lifted_for_good_is_found() {
    assert_eq!(lines(&lifted_lints("src/a.rs", "\n#[allow(dead_code, reason = \"x\")]")), [2]);
    assert_eq!(lines(&lifted_lints("src/a.rs", "#[test]\n#![allow(dead_code)]")), [2]);
    assert_eq!(lines(&lifted_lints("src/a.rs", "#[cfg_attr(test, allow(dead_code))]")), [1]);
    assert_eq!(lines(&lifted_lints("src/a.rs", "#[expect(dead_code)]")), [1]);
    let good = "#[expect(dead_code, reason = \"x\")]\nfn f() { a.expect(\"why\"); b.allow(c) }";
    assert_eq!(lifted_lints("src/a.rs", good), []);
}

#[test]
fn what_leaves_its_fence_is_found() {
    assert_eq!(lines(&fences("tests/story/a.rs", "\ninsta::assert_snapshot!(a);")), [2]);
    assert_eq!(lines(&fences("src/wire/frame.rs", "use bincode::config;")), [1]);
    assert_eq!(lines(&fences("src/core/timer.rs", "use rand_pcg::Pcg64;")), [1]);
    assert_eq!(lines(&fences("src/driver/node.rs", "#[cfg(madsim)]\nfn f() {}")), [1]);
    assert_eq!(lines(&fences("src/driver/node.rs", "use engraft_sim::World;")), [1]);
    assert_eq!(fences("tests/support.rs", "insta::assert_snapshot!(a);"), []);
    assert_eq!(fences("src/wire/control.rs", "use bincode::config;"), []);
    assert_eq!(fences("sim/src/lib.rs", "#[cfg(madsim)]\nmod host;"), []);
    assert_eq!(fences("src/core/timer.rs", "// rand, madsim\nlet a = \"insta\";"), []);
}

#[test]
fn a_module_file_in_its_folder_is_found() {
    assert_eq!(lines(&module_files("src/core/mod.rs")), [1]);
    assert_eq!(module_files("src/core.rs"), []);
}

#[test]
fn words_of_the_workshop_are_found() {
    assert_eq!(lines(&words_of_the_workshop("docs/a.md", "\nas the Later Issue says")), [2]);
    assert_eq!(lines(&words_of_the_workshop("src/a.rs", "// see /home/me/engraft")), [1]);
    assert_eq!(words_of_the_workshop("docs/a.md", "a client session, a link session, /var/lib/engraft"), []);
}
