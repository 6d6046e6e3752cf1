//! Reading the documents: headings, links, code spans and tables, with the lines where they stand.

/// A line of a document outside of fenced code, counted from 1.
pub(super) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((index + 1, line))
    })
}

/// The first fenced block of that language.
pub(super) fn fenced<'a>(text: &'a str, language: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("```{language}\n"))?;
    rest.split_once("```").map(|(block, _)| block)
}

/// Headings of a level (`##` is 2).
pub(super) fn headings(text: &str, level: usize) -> Vec<(usize, &str)> {
    let start = format!("{} ", "#".repeat(level));
    prose(text).filter_map(|(line, words)| Some((line, words.strip_prefix(start.as_str())?.trim()))).collect()
}

/// What a heading is linked by.
pub(super) fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

/// The targets of links.
pub(super) fn links(text: &str) -> Vec<(usize, &str)> {
    let targets = |words| str::split(words, "](").skip(1).filter_map(|rest| rest.split(')').next());
    prose(text).flat_map(|(line, words)| targets(words).map(move |target| (line, target))).collect()
}

/// What stands between single backticks.
pub(super) fn code_spans(text: &str) -> Vec<(usize, &str)> {
    prose(text).flat_map(|(line, words)| spans_of(words).into_iter().map(move |span| (line, span))).collect()
}

/// What stands between single backticks in one line.
pub(super) fn spans_of(words: &str) -> Vec<&str> {
    words.split('`').skip(1).step_by(2).collect()
}

/// A row of a table.
pub(super) struct Row<'a> {
    pub(super) line: usize,
    /// The heading of the table's columns.
    pub(super) columns: Vec<&'a str>,
    pub(super) cells: Vec<&'a str>,
}

impl<'a> Row<'a> {
    /// The cell under that heading; empty where there is none.
    pub(super) fn cell(&self, column: &str) -> &'a str {
        self.columns.iter().position(|name| *name == column).and_then(|index| self.cells.get(index)).unwrap_or(&"")
    }
}

/// The rows of all tables, without their headings.
pub(super) fn rows(text: &str) -> Vec<Row<'_>> {
    let mut found = Vec::new();
    let mut columns: Option<Vec<&str>> = None;
    for (line, words) in prose(text) {
        let Some(inner) = words.strip_prefix('|').and_then(|rest| rest.strip_suffix('|')) else {
            columns = None;
            continue;
        };
        let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
        match &columns {
            None => columns = Some(cells),
            Some(_) if cells.iter().all(|cell| cell.chars().all(|c| c == '-' || c == ':')) => {}
            Some(columns) => found.push(Row { line, columns: columns.clone(), cells }),
        }
    }
    found
}

#[test]
fn headings_links_spans_and_rows_are_found() {
    let text = "# A b, c!\n\n```\n## no [x](y) `z`\n```\nsee [d](e.md#f) and `g` `h`\n\n| k | l |\n|---|---|\n| 1 | `m` |\n\n| n |\n|---|\n| 2 |\n";
    assert_eq!(fenced("a\n```b\nc\n```\n", "b"), Some("c\n"));
    assert_eq!(headings(text, 1), [(1, "A b, c!")]);
    assert_eq!(headings(text, 2), []);
    assert_eq!(anchor("A b, c!"), "a-b-c");
    assert_eq!(links(text), [(6, "e.md#f")]);
    assert_eq!(code_spans(text), [(6, "g"), (6, "h"), (10, "m")]);
    let rows = rows(text);
    assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [10, 14]);
    assert_eq!((rows[0].cell("l"), rows[0].cell("n"), rows[1].cell("n")), ("`m`", "", "2"));
}
