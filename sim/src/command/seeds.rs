//! Which seeds: `A..B`.

use core::str::FromStr;

/// The seeds from `from` up to before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seeds {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected seeds as `A..B` or `A..` with A below B, found {text:?}");
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let from = from.parse().map_err(|_| wrong())?;
        let to = if to.is_empty() { u64::MAX } else { to.parse().map_err(|_| wrong())? };
        if from < to { Ok(Self { from, to }) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Seeds;

    #[test]
    fn seeds_are_a_range_that_is_not_empty() {
        assert_eq!("3..9".parse(), Ok(Seeds { from: 3, to: 9 }));
        assert_eq!("3..".parse(), Ok(Seeds { from: 3, to: u64::MAX }));
        for wrong in ["3", "9..3", "3..3", "a..b", "..4", ""] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }
}
