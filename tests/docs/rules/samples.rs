//! A bad sample for each rule, and a good one beside it.

use super::*;

struct Files(&'static [(&'static str, &'static str)]);

impl Tree for Files {
    fn text(&self, path: &str) -> Option<String> {
        self.0.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
    }
}

const FILES: Files = Files(&[("docs/a.md", "# Top\n\n## One two\n"), ("src/b.rs", "struct Beta; fn gamma() {}")]);

#[test]
fn a_word_that_is_missing_or_defined_twice_is_found() {
    let whole: String = GLOSSARY.iter().map(|word| format!("### {word}\nA thing.\n\n")).collect();
    assert_eq!(glossary(&whole), Vec::<String>::new());
    assert_eq!(glossary(&whole.replace("### lag\n", "### lags\n")), ["`lag` is not defined"]);
    assert_eq!(glossary(&format!("{whole}### lag\nAgain.\n")).len(), 1);
    assert_eq!(glossary(&format!("{whole}### new\n\n### newer\nA thing.\n")).len(), 1);
}

#[test]
fn a_dead_link_is_found() {
    let faults = |text| dead_links("docs/c.md", text, &FILES).len();
    assert_eq!(faults("[a](a.md) [a](a.md#one-two) [b](../src/b.rs) [c](https://example.org/x)"), 0);
    assert_eq!(faults("[a](b.md)"), 1);
    assert_eq!(faults("[a](a.md#three)"), 1);
    assert_eq!(faults("[a](docs/a.md)"), 1);
}

#[test]
fn a_dead_path_is_found() {
    let faults = |text| dead_paths(text, &FILES).len();
    assert_eq!(faults("`src/b.rs` `src/b.rs::gamma` `Beta` `src/core/*`"), 0);
    assert_eq!(faults("`src/c.rs`"), 1);
    assert_eq!(faults("`src/b.rs::delta`"), 1);
}

#[test]
fn a_misplaced_name_is_found() {
    let table = |here, file| format!("| plan | here | in |\n|---|---|---|\n| x | {here} | {file} |\n");
    assert_eq!(misplaced_names(&table("`Beta`, `gamma`", "`src/b.rs`"), &FILES), Vec::<String>::new());
    assert_eq!(misplaced_names(&table("`Beta`, `Delta`", "`src/b.rs`"), &FILES).len(), 1);
    assert_eq!(misplaced_names(&table("`Beta`", "nowhere"), &FILES).len(), 1);
}

#[test]
fn a_wrong_table_of_invariants_is_found() {
    let numbers: Vec<String> = (1..=29).map(|n| format!("S{n}")).chain((1..=9).map(|n| format!("L{n}"))).collect();
    let head = "| number | what holds | in force | checked by | shown to fail by |\n|---|---|---|---|---|\n";
    let row = |number: &String| format!("| {number} | x | whole | `tests/a.rs` | - |\n");
    let whole = format!("{head}{}", numbers.iter().map(row).collect::<String>());
    assert_eq!(invariants(&whole), Vec::<String>::new());
    assert_eq!(invariants(&whole.replace("| S7 |", "| S8 |")).len(), 1);
    assert_eq!(invariants(&whole.replacen("whole", "half", 1)).len(), 1);
    assert_eq!(invariants(&whole.replacen("`tests/a.rs`", "soon", 1)).len(), 1);
    assert_eq!(invariants(&whole.replacen("`tests/a.rs` | -", "- | `tests/a.rs`", 1)).len(), 1);
}

#[test]
fn a_check_that_stands_in_no_table_is_found() {
    assert_eq!(raised("f(Invariant::S5); g(Invariant::S5, Invariant::L2, Invariant::ALL)"), ["L2", "S5"]);
    let table = "| number | in force | checked by |\n|---|---|---|\n| S5 | whole | `sim/a.rs::S5` |\n| S6 | later | `sim/a.rs::S6` |\n";
    let faults = |path: &str, number: &str| unlisted_checks(table, &[(path.to_owned(), number.to_owned())]).len();
    assert_eq!(faults("sim/a.rs", "S5"), 0);
    assert_eq!(faults("sim/b.rs", "S5"), 1);
    assert_eq!(faults("sim/a.rs", "S6"), 1);
    assert_eq!(faults("sim/a.rs", "S7"), 1);
}

#[test]
fn a_crowded_line_is_found() {
    assert_eq!(crowded_lines("One. Two.").len(), 1);
    assert_eq!(crowded_lines("One.\nTwo, e.g. three.\n| One. Two. |\n```\nOne. Two.\n```\n"), Vec::<String>::new());
}

#[test]
fn a_decision_without_date_or_alternatives_is_found() {
    let good = "# A\n\n2026-11-24, in force.\n\n## Decision\n\nB.\n\n## What was rejected\n\nC.\n";
    assert_eq!(decision(good), Vec::<String>::new());
    assert_eq!(decision(&good.replace("2026-11-24", "Tuesday")).len(), 1);
    assert_eq!(decision(&good.replace("rejected", "liked")).len(), 1);
    assert_eq!(decision(&format!("{good}{}", "D.\n".repeat(60))).len(), 1);
}

#[test]
fn variants_are_read() {
    let source = "pub enum A {\n    /// One.\n    #[error(\"One\")]\n    One(u8),\n    Two {\n        Three: u8,\n    },\n    Four,\n}\nenum B { }";
    assert_eq!(variants(source, "A"), ["One", "Two", "Four"]);
}
