//! A table that is understood at a glance.

use ::core::fmt::Write;

use super::super::client::{ReplicaReply, SpaceReply, StatusReply};
use super::NodeReport;

/// Columns, from the left.
const COLUMNS: [&str; 10] = ["NODE", "SPACE", "ROLE", "EPOCH", "END", "COMMIT", "REPLICA", "STATUS", "LAG", "REASON"];

type Row = [String; COLUMNS.len()];

/// A line for each node and space, and for each replica of a primary.
pub(super) fn table(reports: &[NodeReport]) -> String {
    let mut rows: Vec<Row> = vec![COLUMNS.map(str::to_owned)];
    for report in reports {
        match &report.answer {
            Ok((_, status)) => rows.extend(node_rows(status)),
            Err(failure) => {
                rows.push(row([&report.http, "-", "unreachable", "", "", "", "", "", "", &failure.message]))
            }
        }
    }
    lay_out(&rows)
}

fn node_rows(status: &StatusReply) -> Vec<Row> {
    let node = format!("n{}", status.node);
    if status.spaces.is_empty() {
        return vec![row([&node, "-", "no spaces", "", "", "", "", "", "", ""])];
    }
    status.spaces.iter().flat_map(|space| space_rows(&node, space)).collect()
}

/// What is said of a node that is recovering.
const RECOVERING: &str = "lost power, may lack what it acknowledged, counts in no majority";

fn space_rows(node: &str, space: &SpaceReply) -> Vec<Row> {
    let (end, commit) = (space.end.to_string(), space.commit.to_string());
    let mut cells = [node, &space.name, &space.role, &space.epoch, &end, &commit, "", "", "", ""];
    if space.replicas.is_empty() {
        let of = space.primary.map_or_else(|| "hears no primary".to_owned(), |primary| format!("of n{primary}"));
        match &space.stopped {
            Some(reason) => cells[9] = reason,
            None if space.role == "replica" => cells[9] = &of,
            None if space.role == "recovering" => cells[9] = RECOVERING,
            None => {}
        }
        return vec![row(cells)];
    }
    let mut rows = Vec::new();
    for replica in &space.replicas {
        let (id, lag, reason) = (format!("n{}", replica.node), lag(replica), reason(replica));
        [cells[6], cells[7], cells[8], cells[9]] = [&id, &replica.status, &lag, &reason];
        rows.push(row(cells));
        // What is the same in the next line is not said again.
        cells = [""; COLUMNS.len()];
    }
    rows
}

/// Entries and how old the oldest is.
fn lag(replica: &ReplicaReply) -> String {
    match (replica.lag.entries, replica.lag.ms) {
        (0, _) => "0".to_owned(),
        (entries, ms) => format!("{entries} in {ms} ms"),
    }
}

fn reason(replica: &ReplicaReply) -> String {
    let paused = if replica.paused { "paused; " } else { "" };
    let recovering = if replica.recovering { "recovering, counts in no majority; " } else { "" };
    let link = if replica.connected { "" } else { "no link; " };
    format!("{paused}{recovering}{link}{}", replica.reason)
}

fn row(cells: [&str; COLUMNS.len()]) -> Row {
    cells.map(str::to_owned)
}

/// Each column as wide as its widest cell; the last one has no need to be.
fn lay_out(rows: &[Row]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing into a string cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
