//! Who waits for which answer.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use tokio::sync::oneshot;

use crate::core::{Command, Outcome};
use crate::types::RequestId;

/// Answers on their way to those who asked.
///
/// What was asked together has consecutive numbers and is answered together, in that order.
#[derive(Debug, Default)]
pub(super) struct ReplyTable {
    last: RequestId,
    /// By the first number of each group.
    groups: BTreeMap<RequestId, Group>,
}

#[derive(Debug)]
struct Group {
    outcomes: Vec<Option<Outcome>>,
    missing: usize,
    reply: oneshot::Sender<Vec<Outcome>>,
}

impl ReplyTable {
    /// Numbers `count` requests that are answered together; they are the returned number and those after it.
    pub(super) fn open(&mut self, count: usize, reply: oneshot::Sender<Vec<Outcome>>) -> RequestId {
        let first = self.next();
        for _ in 1..count {
            self.next();
        }
        let outcomes = ::core::iter::repeat_with(|| None).take(count).collect();
        self.groups.insert(first, Group { outcomes, missing: count, reply });
        first
    }

    /// A number for a request whose answer nobody waits for.
    pub(super) fn next(&mut self) -> RequestId {
        self.last = RequestId(self.last.0 + 1);
        self.last
    }

    /// Takes an answer; the group's goes out with its last one. Answers that nobody waits for are dropped.
    pub(super) fn answer(&mut self, request: RequestId, outcome: Outcome) {
        let Some((&first, group)) = self.groups.range_mut(..=request).next_back() else {
            return;
        };
        let index = usize::try_from(request.0 - first.0).unwrap_or(usize::MAX);
        let Some(place @ None) = group.outcomes.get_mut(index) else {
            return;
        };
        *place = Some(outcome);
        group.missing -= 1;
        if group.missing == 0
            && let Some(group) = self.groups.remove(&first)
        {
            // Whoever asked may have gone.
            let _ = group.reply.send(group.outcomes.into_iter().flatten().collect());
        }
    }
}

/// The command under this number; the one that it carries is its sender's invention, and might be that of another's.
pub(super) fn numbered(command: Command, request: RequestId) -> Command {
    match command {
        Command::Read { space, request: _, from, entries_max, bytes_max } => {
            Command::Read { space, request, from, entries_max, bytes_max }
        }
        Command::ReadDurable { space, request: _, from, entries_max, bytes_max } => {
            Command::ReadDurable { space, request, from, entries_max, bytes_max }
        }
        Command::WaitFor { space, request: _, token, timeout } => Command::WaitFor { space, request, token, timeout },
        Command::Promote { space, request: _, by } => Command::Promote { space, request, by },
        Command::PauseReplica { .. }
        | Command::ResumeReplica { .. }
        | Command::OpenEpoch { .. }
        | Command::Ready { .. }
        | Command::Shutdown => command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::AppendError;

    fn check(table: &mut ReplyTable, request: RequestId) {
        table.answer(request, Outcome::Failed(AppendError::NotReady));
    }

    #[test]
    fn a_group_is_answered_once_its_last_answer_is_in() {
        let mut table = ReplyTable::default();
        let (reply, mut answer) = oneshot::channel();
        let first = table.open(3, reply);
        table.answer(RequestId(first.0 + 2), Outcome::Failed(AppendError::Shutdown));
        check(&mut table, first);
        assert!(answer.try_recv().is_err());
        check(&mut table, RequestId(first.0 + 1));
        let failed = |error: AppendError| Outcome::Failed(error);
        let expected = [failed(AppendError::NotReady), failed(AppendError::NotReady), failed(AppendError::Shutdown)];
        assert_eq!(answer.try_recv().ok(), Some(expected.to_vec()));
    }

    #[test]
    fn an_answer_goes_to_its_own_group_only() {
        let mut table = ReplyTable::default();
        let (reply_a, mut answer_a) = oneshot::channel();
        let (reply_b, mut answer_b) = oneshot::channel();
        let a = table.open(1, reply_a);
        let unasked = table.next();
        let b = table.open(1, reply_b);
        check(&mut table, unasked);
        check(&mut table, a);
        check(&mut table, a);
        assert!(answer_a.try_recv().is_ok());
        assert!(answer_b.try_recv().is_err());
        check(&mut table, b);
        assert!(answer_b.try_recv().is_ok());
    }
}
