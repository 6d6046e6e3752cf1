//! What is measured, beside what the machine can do.

use ::core::fmt;
use ::core::time::Duration;

use serde_json::{Map, Value, json};

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Entries per second: the more the better.
    EntriesPerSecond,
    /// Milliseconds: the fewer the better.
    Milliseconds,
    /// Microseconds: the fewer the better.
    Microseconds,
    /// Megabytes of 2^20 bytes: the fewer the better.
    Megabytes,
}

/// A number, the floor of the machine for the same work, and how the two compare.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    /// The name in JSON; stable.
    pub(super) key: String,
    /// What it is, for people.
    pub(super) title: String,
    pub(super) unit: Unit,
    /// `None` where this machine does not tell.
    pub(super) value: Option<f64>,
    /// What the machine does without us; `None` where there is no such thing.
    pub(super) floor: Option<f64>,
    /// `value / floor`. The median of the rounds' own ratios where there were rounds.
    pub(super) ratio: Option<f64>,
    /// What the floor is.
    pub(super) floor_is: &'static str,
}

impl Figure {
    /// A figure without a floor.
    pub(super) fn alone(key: impl Into<String>, title: impl Into<String>, unit: Unit, value: Option<f64>) -> Self {
        Self { key: key.into(), title: title.into(), unit, value, floor: None, ratio: None, floor_is: "" }
    }

    /// A figure beside its floor.
    pub(super) fn beside(
        key: impl Into<String>,
        title: impl Into<String>,
        unit: Unit,
        value: f64,
        floor: f64,
        floor_is: &'static str,
    ) -> Self {
        let ratio = (floor > 0.0).then(|| value / floor);
        Self { key: key.into(), title: title.into(), unit, value: Some(value), floor: Some(floor), ratio, floor_is }
    }

    /// The middle of several rounds, each with a floor that was measured right before.
    pub(super) fn of_rounds(
        key: impl Into<String>,
        title: impl Into<String>,
        unit: Unit,
        rounds: &[Round],
        floor_is: &'static str,
    ) -> Self {
        let value = median(rounds.iter().map(|round| round.value));
        let floor = median(rounds.iter().map(|round| round.floor));
        let ratio = median(rounds.iter().filter(|round| round.floor > 0.0).map(|round| round.value / round.floor));
        Self { key: key.into(), title: title.into(), unit, value, floor, ratio, floor_is }
    }

    /// The object that stands under the key.
    fn to_json(&self) -> Value {
        json!({ "value": rounded(self.value), "floor": rounded(self.floor), "ratio": rounded(self.ratio) })
    }
}

/// One round: the floor first, then the value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Round {
    pub(super) floor: f64,
    pub(super) value: f64,
}

/// The middle value; the mean of the two in the middle of an even number; `None` of none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// How many per second.
pub(super) fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(f64::EPSILON)
}

/// All figures as one object.
pub(super) fn to_json(figures: &[Figure]) -> Value {
    Value::Object(figures.iter().map(|figure| (figure.key.clone(), figure.to_json())).collect::<Map<_, _>>())
}

/// Three digits behind the point are more than anything here is worth.
fn rounded(value: Option<f64>) -> Option<f64> {
    value.map(|value| (value * 1_000.0).round() / 1_000.0)
}

/// All figures as a table.
pub(super) struct Table<'a>(pub(super) &'a [Figure]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.0.iter().map(|figure| figure.title.chars().count()).max().unwrap_or(0);
        writeln!(formatter, "{:widest$}  {:>13}  {:>13}  {:>6}  the floor is", "", "value", "floor", "ratio")?;
        for figure in self.0 {
            let ratio = figure.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            let (value, floor) = (figure.unit.show(figure.value), figure.unit.show(figure.floor));
            let line = format!("{:widest$}  {value:>13}  {floor:>13}  {ratio:>6}  {}", figure.title, figure.floor_is);
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl Unit {
    fn show(self, value: Option<f64>) -> String {
        let Some(value) = value else { return "-".to_owned() };
        match self {
            Self::EntriesPerSecond => format!("{}/s", grouped(value)),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Microseconds => format!("{value:.2} µs"),
            Self::Megabytes => format!("{value:.1} MB"),
        }
    }
}

/// A whole number with its thousands set apart.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(title: &str, unit: Unit, value: f64, floor: f64) -> Figure {
        Figure::beside("key", title, unit, value, floor, "a loop")
    }

    #[test]
    fn the_middle_of_an_even_number_lies_between_the_two() {
        assert_eq!(median([4.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn the_ratio_of_rounds_is_the_middle_of_their_own() {
        let rounds = [(10.0, 5.0), (100.0, 10.0), (20.0, 12.0)].map(|(floor, value)| Round { floor, value });
        let figure = Figure::of_rounds("key", "title", Unit::EntriesPerSecond, &rounds, "a loop");
        assert_eq!((figure.value, figure.floor, figure.ratio), (Some(10.0), Some(20.0), Some(0.5)));
    }

    #[test]
    fn a_table_shows_value_floor_and_ratio_in_columns() {
        let figures = [
            check("throughput", Unit::EntriesPerSecond, 1_234_567.0, 2_469_134.0),
            Figure::alone("key", "memory", Unit::Megabytes, None),
        ];
        let table = Table(&figures).to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[1], "throughput    1,234,567/s    2,469,134/s    0.50  a loop");
        assert_eq!(lines[2], "memory                  -              -       -");
    }

    #[test]
    fn what_is_not_known_is_null_in_json() {
        let figures = [Figure::alone("memory", "memory", Unit::Megabytes, None)];
        assert_eq!(to_json(&figures).to_string(), r#"{"memory":{"floor":null,"ratio":null,"value":null}}"#);
    }
}
