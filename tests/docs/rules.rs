//! The rules for documents, each a function of texts, with a bad sample beside it.

use super::markdown::{anchor, code_spans, headings, links, prose, rows, spans_of};

/// The files of the project, by path.
pub(super) trait Tree {
    /// A file's text; `None` where there is none. A folder's text is empty.
    fn text(&self, path: &str) -> Option<String>;
}

/// The words that the glossary has to define, beside those it adds.
const GLOSSARY: &[&str] = &[
    "ack level",
    "batch",
    "breaker",
    "bulk",
    "candidate",
    "catch-up",
    "chain",
    "client session",
    "cluster",
    "commit",
    "echo",
    "entry",
    "epoch",
    "exposure",
    "fencing",
    "grant",
    "group",
    "lag",
    "learner",
    "lease",
    "link",
    "link session",
    "mark",
    "node",
    "patience",
    "primary",
    "probe",
    "promotion",
    "replica",
    "salvage",
    "sequence",
    "snapshot",
    "space",
    "stickiness",
    "story",
    "switchover",
    "synced mark",
    "token",
    "voter",
];

/// Each word is defined once, and none is missing.
pub(super) fn glossary(text: &str) -> Vec<String> {
    let terms = headings(text, 3);
    let mut faults = Vec::new();
    for (index, (line, term)) in terms.iter().enumerate() {
        if terms[..index].iter().any(|(_, earlier)| earlier == term) {
            faults.push(format!("line {line}: `{term}` is defined twice"));
        }
        let definition = text.lines().nth(*line).unwrap_or_default();
        if definition.is_empty() || definition.starts_with('#') {
            faults.push(format!("line {line}: `{term}` has no definition on the next line"));
        }
    }
    let missing = GLOSSARY.iter().filter(|word| !terms.iter().any(|(_, term)| term == *word));
    faults.extend(missing.map(|word| format!("`{word}` is not defined")));
    faults
}

/// Links between documents lead to a file, and to a heading of it.
pub(super) fn dead_links(path: &str, text: &str, tree: &impl Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (line, target) in links(text) {
        if target.contains("://") {
            continue;
        }
        let (file, fragment) = target.split_once('#').map_or((target, None), |(file, fragment)| (file, Some(fragment)));
        let resolved = if file.is_empty() { path.to_owned() } else { resolve(path, file) };
        let Some(linked) = tree.text(&resolved) else {
            faults.push(format!("line {line}: {target} leads to {resolved}, which is not there"));
            continue;
        };
        let known = |fragment: &str| (1..=6).any(|n| headings(&linked, n).iter().any(|(_, h)| anchor(h) == fragment));
        if fragment.is_some_and(|fragment| !known(fragment)) {
            faults.push(format!("line {line}: {target}: {resolved} has no such heading"));
        }
    }
    faults
}

fn resolve(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a code span is a path of this project, perhaps with `::name` behind it.
fn as_path(span: &str) -> Option<(&str, Option<&str>)> {
    const FOLDERS: &[&str] =
        &["src/", "sim/", "tests/", "docs/", "snapshots/", "examples/", "benches/", ".ci/", ".cargo/"];
    let looks = FOLDERS.iter().any(|folder| span.starts_with(folder)) && !span.contains([' ', '*', '<', '{']);
    looks.then(|| span.split_once("::").map_or((span, None), |(path, name)| (path, Some(name))))
}

/// Each path in a document exists, and holds the name that stands behind it.
pub(super) fn dead_paths(text: &str, tree: &impl Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (line, span) in code_spans(text) {
        let Some((path, name)) = as_path(span) else { continue };
        match (tree.text(path), name) {
            (None, _) => faults.push(format!("line {line}: {path} is not there")),
            (Some(source), Some(name)) if !has_word(&source, name) => {
                faults.push(format!("line {line}: {path} holds no `{name}`"));
            }
            _ => {}
        }
    }
    faults
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|found| found == word)
}

/// Each of our names stands in one of the files beside it.
pub(super) fn misplaced_names(text: &str, tree: &impl Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for row in rows(text) {
        let files: Vec<String> = spans_of(row.cell("in")).into_iter().filter_map(|path| tree.text(path)).collect();
        if row.columns.contains(&"in") && files.is_empty() {
            faults.push(format!("line {}: no file stands beside the names", row.line));
        }
        for name in spans_of(row.cell("here")) {
            if as_path(name).is_none() && !files.is_empty() && !files.iter().any(|file| has_word(file, name)) {
                faults.push(format!("line {}: {} holds no `{name}`", row.line, row.cell("in")));
            }
        }
    }
    faults
}

/// Every number stands in the table once and in order; what is in force names its checks, and they exist.
pub(super) fn invariants(text: &str) -> Vec<String> {
    let expected: Vec<String> = (1..=29).map(|n| format!("S{n}")).chain((1..=9).map(|n| format!("L{n}"))).collect();
    let rows = rows(text);
    let numbers: Vec<&str> = rows.iter().map(|row| row.cell("number")).collect();
    let mut faults = Vec::new();
    if numbers != expected {
        faults.push(format!("expected {expected:?}, found {numbers:?}"));
    }
    for row in &rows {
        let (force, check, fault) = (row.cell("in force"), row.cell("checked by"), row.cell("shown to fail by"));
        if !matches!(force, "whole" | "part" | "later") {
            faults.push(format!("line {}: in force is whole, part or later, not {force:?}", row.line));
        }
        for cell in [check, fault] {
            if cell != "-" && spans_of(cell).is_empty() {
                faults.push(format!("line {}: expected `path::name` or a dash, found {cell:?}", row.line));
            }
        }
        if check == "-" && fault != "-" {
            faults.push(format!("line {}: shown to fail without a check", row.line));
        }
    }
    faults
}

/// The numbers of the invariants that a source raises.
pub(super) fn raised(source: &str) -> Vec<String> {
    let named = source.split("Invariant::").skip(1);
    let numbers = named.map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect::<String>());
    let mut found: Vec<String> =
        numbers.filter(|word| word.len() > 1 && word[1..].bytes().all(|byte| byte.is_ascii_digit())).collect();
    found.sort();
    found.dedup();
    found
}

/// Each check that is raised somewhere stands in its row with one of the files that raise it, and the row is in force.
pub(super) fn unlisted_checks(text: &str, raised: &[(String, String)]) -> Vec<String> {
    let rows = rows(text);
    let mut faults = Vec::new();
    for (path, number) in raised {
        let Some(row) = rows.iter().find(|row| row.cell("number") == number) else {
            faults.push(format!("no row for {number}, which {path} checks"));
            continue;
        };
        let listed = spans_of(row.cell("checked by"));
        let raisers = raised.iter().filter(|(_, other)| other == number);
        if !raisers.map(|(file, _)| format!("{file}::{number}")).any(|span| listed.contains(&span.as_str())) {
            faults.push(format!("line {}: {number} is checked by `{path}::{number}`", row.line));
        }
        if row.cell("in force") == "later" {
            faults.push(format!("line {}: {number} is checked and said to come later", row.line));
        }
    }
    faults
}

/// A sentence per line, so that a change of one is a change of one line.
pub(super) fn crowded_lines(text: &str) -> Vec<String> {
    let ends = |words: &str| {
        let characters: Vec<char> = words.chars().collect();
        characters.windows(3).any(|w| matches!(w[0], '.' | '?' | '!') && w[1] == ' ' && w[2].is_uppercase())
    };
    prose(text)
        .filter(|(_, words)| !words.starts_with('|') && ends(words))
        .map(|(line, words)| format!("line {line}: more than one sentence: {words}"))
        .collect()
}

/// A decision says when, what and what was not taken.
pub(super) fn decision(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let date = text.lines().nth(2).unwrap_or_default();
    let dated = date.len() > 10
        && date.as_bytes()[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !dated {
        faults.push(format!("the third line begins with the date, found {date:?}"));
    }
    for wanted in ["Decision", "What was rejected"] {
        if !headings(text, 2).iter().any(|(_, heading)| *heading == wanted) {
            faults.push(format!("no chapter {wanted:?}"));
        }
    }
    if text.lines().count() > 60 {
        faults.push("longer than a page".to_owned());
    }
    faults
}

/// The variants of an enum in a source, in order.
pub(super) fn variants(source: &str, name: &str) -> Vec<String> {
    let Some((_, body)) = source.split_once(&format!("enum {name} {{")) else { return Vec::new() };
    let body = body.split("\n}").next().unwrap_or_default();
    let at_start = |line: &str| line.starts_with("    ") && line[4..].starts_with(|c: char| c.is_ascii_uppercase());
    body.lines()
        .filter(|line| at_start(line))
        .map(|line| line.trim().chars().take_while(|c| c.is_alphanumeric()).collect())
        .collect()
}

mod samples;
