//! The rules, each a function of a path and a text; the bad samples stand in `rules/samples.rs`.

mod samples;

use super::code::{code_only, functions, line_of, without_tests, words};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// What breaks a rule, and on which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) what: String,
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.starts_with("sim/tests/")
}

/// A Rust file has at most 400 lines, unless a reason says why it is better off whole.
pub(super) fn file_length(path: &str, text: &str, excepted: &[(&str, &str)]) -> Vec<Fault> {
    let lines = text.lines().count();
    if !is_rust(path) || lines <= FILE_LINES_MAX || excepted.iter().any(|(long, _)| *long == path) {
        return Vec::new();
    }
    vec![Fault {
        line: lines,
        what: format!("{lines} lines, at most {FILE_LINES_MAX}: split it, or write down why not"),
    }]
}

/// A function has at most 70 lines, unless a reason says why it is better off whole.
pub(super) fn function_length(path: &str, text: &str, excepted: &[(&str, &str, &str)]) -> Vec<Fault> {
    if !is_rust(path) {
        return Vec::new();
    }
    functions(&code_only(text))
        .into_iter()
        .filter(|function| function.lines > FUNCTION_LINES_MAX)
        .filter(|function| !excepted.iter().any(|(file, name, _)| *file == path && *name == function.name))
        .map(|function| Fault {
            line: function.line,
            what: format!("`{}` has {} lines, at most {FUNCTION_LINES_MAX}", function.name, function.lines),
        })
        .collect()
}

/// The layers, and which of them each may import.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &["types"]),
    ("wire", &["types", "wire"]),
    ("core", &["types", "wire", "core"]),
    ("wal", &["types", "wal"]),
    ("driver", &["types", "wire", "core", "wal", "driver"]),
    // The codec too: `bench` measures it by itself.
    ("cli", &["types", "wire", "core", "wal", "driver", "cli"]),
];

/// A layer imports those below it; the binary imports the commands; the simulator imports engraft, never the other way.
pub(super) fn imports(path: &str, text: &str) -> Vec<Fault> {
    let Some((root, allowed)) = allowed_imports(path) else { return Vec::new() };
    let code = code_only(text);
    let mut faults = Vec::new();
    let mut check = |at: usize, layer: &str| {
        let known = LAYERS.iter().any(|(name, _)| *name == layer);
        if known && !allowed.contains(&layer) {
            faults.push(Fault { line: line_of(&code, at), what: format!("imports `{layer}`, may import {allowed:?}") });
        }
    };
    for (at, word) in words(&code) {
        if word == root && (root == "engraft" || !is_path_tail(&code, at)) {
            for layer in heads(&code[at + word.len()..]) {
                check(at, layer);
            }
        }
    }
    if path.starts_with("src/") {
        faults.extend(climbs_out(path, &code));
    }
    faults
}

/// How a file names the layers, and which it may name.
fn allowed_imports(path: &str) -> Option<(&'static str, &'static [&'static str])> {
    if path.starts_with("sim/") && is_rust(path) {
        return Some(("engraft", &["types", "wire", "core", "wal", "driver"]));
    }
    if path == "src/main.rs" {
        return Some(("engraft", &["cli"]));
    }
    let layer = path.strip_prefix("src/")?.strip_suffix(".rs")?.split('/').next()?;
    LAYERS.iter().find(|(name, _)| *name == layer).map(|(_, allowed)| ("crate", *allowed))
}

fn is_path_tail(code: &str, at: usize) -> bool {
    code[..at].ends_with("::")
}

/// The first names behind `crate`: `::a::b` gives a, `::{a::b, c}` gives a and c.
fn heads(rest: &str) -> Vec<&str> {
    let Some(rest) = rest.strip_prefix("::") else { return Vec::new() };
    let Some(group) = rest.strip_prefix('{') else {
        return words(rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default())
            .into_iter()
            .map(|(_, word)| word)
            .collect();
    };
    let (mut depth, mut begins, mut found) = (0_i32, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                found.extend(words(&group[begins..at]).first().map(|(_, word)| *word));
                begins = at + 1;
                if character == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// `super` that leads out of the layer hides what is imported: such a path begins at `crate`.
fn climbs_out(path: &str, code: &str) -> Vec<Fault> {
    let depth = path.matches('/').count();
    let chain = vec!["super"; depth].join("::");
    let climbs = words(code).into_iter().filter(|(at, word)| {
        *word == "super" && !is_path_tail(code, *at) && code[*at..].starts_with(&format!("{chain}::"))
    });
    // In a nested module one more `super` stays inside; such modules are tests here and name the crate.
    climbs
        .filter(|_| depth > 0)
        .map(|(at, _)| Fault {
            line: line_of(code, at),
            what: "leaves its layer by `super`: begin at `crate`".to_owned(),
        })
        .collect()
}

/// Words that would bring the world, or an order that differs between runs, into the pure layers.
const IMPURE: &[&str] = &[
    "std",
    "HashMap",
    "HashSet",
    "RandomState",
    "Instant",
    "SystemTime",
    "thread",
    "Mutex",
    "RwLock",
    "Condvar",
    "OnceLock",
    "LazyLock",
    "File",
    "TcpStream",
    "tokio",
    "thread_rng",
    "ThreadRng",
    "StdRng",
    "SmallRng",
    "OsRng",
    "println",
    "eprintln",
    "tracing",
];

/// `types`, `wire` and `core` know no clock, file, socket, thread, lock, global or hash map.
pub(super) fn pure(path: &str, text: &str, excepted: &[(&str, &str, &str)]) -> Vec<Fault> {
    let is_pure = ["types", "wire", "core"]
        .iter()
        .any(|layer| path == format!("src/{layer}.rs") || path.starts_with(&format!("src/{layer}/")));
    if !is_pure {
        return Vec::new();
    }
    let code = without_tests(&code_only(text));
    let banned: Vec<&str> = IMPURE
        .iter()
        .copied()
        .filter(|word| !excepted.iter().any(|(file, name, _)| *file == path && name == word))
        .collect();
    let mut faults = forbidden(&code, &banned, "the pure layers know no world: it wants a new event or action");
    for phrase in ["static mut", "rand::rng"] {
        faults.extend(code.match_indices(phrase).map(|(at, _)| Fault {
            line: line_of(&code, at),
            what: format!("`{phrase}`: the pure layers have no global and draw by key only"),
        }));
    }
    faults
}

/// Nothing that panics where a value is missing, and no note to oneself, outside of tests.
pub(super) fn half_done(path: &str, text: &str) -> Vec<Fault> {
    if !is_rust(path) {
        return Vec::new();
    }
    let code = code_only(text);
    let mut faults = Vec::new();
    for name in ["todo", "unimplemented", "dbg"] {
        faults.extend(calls(&code, name, '!'));
    }
    if !is_test(path) {
        faults.extend(calls(&without_tests(&code), "unwrap", '('));
    }
    faults
}

fn calls(code: &str, name: &str, opening: char) -> Vec<Fault> {
    words(code)
        .into_iter()
        .filter(|(at, word)| *word == name && code[at + word.len()..].starts_with(opening))
        .map(|(at, _)| Fault { line: line_of(code, at), what: format!("`{name}{opening}` has no place here") })
        .collect()
}

fn forbidden(code: &str, names: &[&str], why: &str) -> Vec<Fault> {
    words(code)
        .into_iter()
        .filter(|(_, word)| names.contains(word))
        .map(|(at, word)| Fault { line: line_of(code, at), what: format!("`{word}`: {why}") })
        .collect()
}

/// A lint is lifted by `expect` with a reason: `allow` stays behind when the cause is gone.
pub(super) fn lifted_lints(path: &str, text: &str) -> Vec<Fault> {
    if !is_rust(path) {
        return Vec::new();
    }
    let code = code_only(text);
    let mut faults = Vec::new();
    for (at, word) in words(&code) {
        let inside = code[..at].rfind("#[").max(code[..at].rfind("#![")).map(|open| &code[open..at]);
        let in_attribute = inside.is_some_and(|inside| !inside.contains(']'));
        let arguments = code[at + word.len()..].strip_prefix('(').and_then(|rest| rest.split(')').next());
        let (true, Some(arguments)) = (in_attribute, arguments) else { continue };
        let what = match word {
            "allow" => "`allow` has no place: `expect` with a reason, so that it goes when its cause goes",
            "expect" if !arguments.contains("reason =") => "`expect` without a reason",
            _ => continue,
        };
        faults.push(Fault { line: line_of(&code, at), what: what.to_owned() });
    }
    faults
}

/// Names that are used behind one fence only: the folder where the rule holds, who may name it there, and why.
const FENCES: &[(&[&str], &str, &[&str], &str)] = &[
    (
        &["insta"],
        "tests/",
        &["tests/support.rs"],
        "snapshots are taken in one place, so that their names follow one rule",
    ),
    (&["bincode"], "src/", &["src/wire/control.rs"], "one module knows bincode, so that it can be replaced"),
    (&["rand", "rand_pcg"], "src/", &["src/core/draw.rs"], "randomness is drawn by key, in one place"),
    (&["madsim"], "src/", &[], "the same sources run in production and under madsim"),
    (&["engraft_sim"], "src/", &[], "only tests import the simulator"),
    (
        &["engraft_sim"],
        "examples/",
        &["examples/simulate_your_engine.rs"],
        "only tests import the simulator, and the example that shows how",
    ),
];

/// What is fenced in is named behind its fence only.
pub(super) fn fences(path: &str, text: &str) -> Vec<Fault> {
    if !is_rust(path) {
        return Vec::new();
    }
    let code = code_only(text);
    FENCES
        .iter()
        .filter(|(_, folder, within, _)| path.starts_with(folder) && !within.contains(&path))
        .flat_map(|(names, _, _, why)| forbidden(&code, names, why))
        .collect()
}

/// `foo.rs` stands beside `foo/`.
pub(super) fn module_files(path: &str) -> Vec<Fault> {
    if path.rsplit('/').next() == Some("mod.rs") {
        return vec![Fault { line: 1, what: "`mod.rs`: name the file after the module, beside its folder".to_owned() }];
    }
    Vec::new()
}

/// Folders of one machine, and trackers: a reader elsewhere has no use for them.
const WORKSHOP: &[&str] =
    &["/root/", "/home/", "/tmp/", "/users/", "issue #", "this issue", "next issue", "later issue"];

/// Comments, documents and configuration speak to a reader who has this repository and nothing else.
pub(super) fn words_of_the_workshop(path: &str, text: &str) -> Vec<Fault> {
    // These two hold the words themselves.
    if path.starts_with("tests/tidy/rules") {
        return Vec::new();
    }
    let lower = text.to_lowercase();
    WORKSHOP
        .iter()
        .flat_map(|word| lower.match_indices(word).map(move |(at, _)| (at, word)))
        .map(|(at, word)| Fault {
            line: line_of(&lower, at),
            what: format!("{word:?} means nothing to a reader elsewhere"),
        })
        .collect()
}
