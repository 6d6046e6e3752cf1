//! Words that several notices share.

use ::core::fmt;

use super::Notice;
use crate::types::SpaceId;

/// The notices about what a power failure took.
pub(super) fn recovering(formatter: &mut fmt::Formatter<'_>, notice: &Notice) -> fmt::Result {
    if let Notice::Recovering { space, promise, end } = notice {
        write!(formatter, "{space} recovering: it has {end} and may have acknowledged more; it waits for a primary ")?;
        write!(formatter, "of {promise} or above, or for the votes of all voters")?;
    } else if let Notice::Recovered { space, end } = notice {
        write!(formatter, "{space} recovered with {end}")?;
    } else if let Notice::CommittedMayBeLost { space, from, by } = notice {
        write!(
            formatter,
            "{space} too few voters remember what they acknowledged: what was committed from {from} on "
        )?;
        write!(formatter, "is lost where {by} does not have it")?;
    }
    Ok(())
}

/// The space, where the notice is about one.
pub(super) fn subject(formatter: &mut fmt::Formatter<'_>, space: Option<SpaceId>) -> fmt::Result {
    match space {
        Some(space) => write!(formatter, "{space} "),
        None => Ok(()),
    }
}
