//! Durations and sizes as people write them.

use ::core::time::Duration;

/// The units of time, largest first, in nanoseconds.
const TIME_UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// The units of size, largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// A duration such as `100ms`, `5s`, `2min`; a whole number with its unit. `None` for anything else.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse_with(text, &TIME_UNITS).map(Duration::from_nanos)
}

/// A size such as `1MiB`, `64KiB`, `300B`, or a bare number of bytes. `None` for anything else.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    parse_with(text, &SIZE_UNITS)
}

fn parse_with(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let scale = units.iter().find(|(name, _)| *name == unit.trim_start()).map(|(_, scale)| *scale)?;
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// The duration in the largest unit that needs no fraction: what [`parse_duration`] reads back.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if nanoseconds == 0 {
        return "0ms".to_owned();
    }
    format_with(nanoseconds, &TIME_UNITS)
}

/// The size in the largest binary unit that needs no fraction: what [`parse_size`] reads back.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let binary = SIZE_UNITS.iter().filter(|(name, _)| name.contains('i') || *name == "B");
    let fitting = binary.copied().find(|(_, scale)| bytes != 0 && bytes.is_multiple_of(*scale));
    let (name, scale) = fitting.unwrap_or(("B", 1));
    format!("{}{name}", bytes / scale)
}

fn format_with(value: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().copied().find(|(_, scale)| value.is_multiple_of(*scale));
    let (name, scale) = fitting.unwrap_or(("", 1));
    format!("{}{name}", value / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for milliseconds in [0, 1, 10, 999, 1_000, 60_000, 61_000, 3_600_000] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
        for bytes in [0, 1, 1_000, 1_024, 4_096, 1 << 20, (1 << 20) + 1, 3 << 30] {
            assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }
    }

    #[test]
    fn units_are_as_people_write_them() {
        assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration(" 2 min"), Some(Duration::from_secs(120)));
        assert_eq!(parse_size("1MiB"), Some(1 << 20));
        assert_eq!(parse_size("1 MB"), Some(1_000_000));
        assert_eq!(parse_size("4096"), Some(4_096));
    }

    #[test]
    fn what_has_no_unit_or_another_is_refused() {
        for text in
            ["", "100", "ms", "-1ms", "1.5s", "100 seconds", "1MS", "99999999999999999999s", "18446744073709551615h"]
        {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "1mib", "99999999999999999999"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }
}
