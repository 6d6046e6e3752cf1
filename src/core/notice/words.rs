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

/// What is lost, as far as it is known.
pub(super) fn loss(formatter: &mut fmt::Formatter<'_>, notice: &Notice) -> fmt::Result {
    if let Notice::LossBounded { space, lost, from, bytes_max, by } = notice {
        write!(formatter, "{space} {lost} may have lost what it answered from {from} on")?;
        match bytes_max {
            Some(bytes) => write!(formatter, ", at most {bytes} bytes")?,
            None => write!(formatter, ", without a bound")?,
        }
        write!(formatter, ", replaced by {by}")?;
    } else if let Notice::LossExact { space, lost, first, last, by } = notice {
        write!(formatter, "{space} {lost} lost {first}..{last}, replaced by {by}")?;
    }
    Ok(())
}

/// What an operator did who forced a node on.
pub(super) fn forced(formatter: &mut fmt::Formatter<'_>, notice: &Notice) -> fmt::Result {
    if let Notice::LineageBegan { space, epoch, from } = notice {
        write!(
            formatter,
            "{space} is forced on in {epoch}: what others have from {from} on is lost, committed or not"
        )?;
    } else if let Notice::LineageConflict { space, peer, ours, theirs } = notice {
        write!(formatter, "{space} {peer} goes by {theirs} and this node by {ours}: both were forced on without the ")?;
        write!(formatter, "other; promote the one that is to stay, with --force twice")?;
    } else if let Notice::CommittedTruncated { space, first, last, by } = notice {
        write!(formatter, "{space} committed {first}..{last} truncated, replaced by {by}, which was forced on")?;
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
