//! Appending: what is asked, the future that answers, and the receipt.

use ::core::future::{Future, IntoFuture};
use ::core::pin::Pin;
use ::core::sync::atomic::{AtomicBool, Ordering};
use ::core::task::{Context, Poll};
use ::core::time::Duration;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::time::Instant;

use bytes::Bytes;

use crate::core;
use crate::core::{Ack, Outcome, Role};
use crate::driver::AppendRequest;
use crate::driver::limits::APPENDS_PER_REQUEST;
use crate::types::{NodeId, Sequence, Token, WalEntryType};

use super::error::{AppendError, PrimaryHint};
use super::space::Space;
use super::wait::WaitFor;

/// How appends are to be made.
#[derive(Debug, Clone, Copy)]
struct How {
    entry_type: WalEntryType,
    ack: Option<Ack>,
    timeout: Option<Duration>,
}

impl How {
    const DEFAULT: Self = Self { entry_type: WalEntryType::EpisodeStore, ack: None, timeout: None };
}

/// An append to be made: await it. Nothing happens before.
#[derive(Debug, Clone)]
#[must_use = "nothing is appended until this is awaited"]
pub struct Append {
    space: Space,
    payload: Bytes,
    how: How,
}

/// Many appends to be made in this order: await it. Nothing happens before.
#[derive(Debug, Clone)]
#[must_use = "nothing is appended until this is awaited"]
pub struct AppendAll {
    space: Space,
    payloads: Vec<Bytes>,
    how: How,
}

macro_rules! how {
    ($what:ident) => {
        impl $what {
            /// When to answer; the space's own level where this is not called.
            pub const fn ack(mut self, ack: Ack) -> Self {
                self.how.ack = Some(ack);
                self
            }

            /// How long to wait for the level; then the answer is [`AppendError::Unknown`]. The node's `append_timeout`
            /// (5 s unless configured) where this is not called. Waiting for the primary to open counts in.
            pub const fn timeout(mut self, timeout: Duration) -> Self {
                self.how.timeout = Some(timeout);
                self
            }

            /// The type that the entry carries; [`WalEntryType::EpisodeStore`] where this is not called.
            pub const fn entry_type(mut self, entry_type: WalEntryType) -> Self {
                self.how.entry_type = entry_type;
                self
            }
        }
    };
}

how!(Append);
how!(AppendAll);

impl Append {
    pub(super) const fn new(space: Space, payload: Bytes) -> Self {
        Self { space, payload, how: How::DEFAULT }
    }
}

impl AppendAll {
    pub(super) const fn new(space: Space, payloads: Vec<Bytes>) -> Self {
        Self { space, payloads, how: How::DEFAULT }
    }
}

impl IntoFuture for Append {
    type Output = Result<Receipt, AppendError>;
    type IntoFuture = Appending;

    fn into_future(self) -> Appending {
        let handed_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&handed_over);
        let answer: Answer = Box::pin(async move {
            let mut answers = make(&self.space, Vec::from([self.payload]), self.how, &flag).await;
            answers.pop().unwrap_or(Err(AppendError::Shutdown))
        });
        Appending { answer: Some(answer), handed_over }
    }
}

impl IntoFuture for AppendAll {
    type Output = Vec<Result<Receipt, AppendError>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// The answers in the order of the payloads, once all are there.
    ///
    /// Payloads are handed over 1,000 at a time. Dropping the future takes nothing back that was handed over; it never
    /// leaves a gap: what is appended is a prefix of the payloads, each once.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { make(&self.space, self.payloads, self.how, &AtomicBool::new(false)).await })
    }
}

/// The answer to an append, to come.
type Answer = Pin<Box<dyn Future<Output = Result<Receipt, AppendError>> + Send>>;

/// An append under way.
///
/// It may be dropped at any time, and then holds what [`Appending::handed_over`] said last: where it was false, nothing is
/// appended, now or later; where it was true, the node has the append and goes on with it exactly as if somebody waited.
/// In neither case is the entry appended twice. Whoever wants to know the end in the second case keeps the future and
/// polls it by `&mut`.
#[must_use = "a future does nothing until it is polled"]
pub struct Appending {
    answer: Option<Answer>,
    handed_over: Arc<AtomicBool>,
}

impl ::core::fmt::Debug for Appending {
    fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        formatter.debug_struct("Appending").field("handed_over", &self.handed_over()).finish_non_exhaustive()
    }
}

impl Appending {
    /// Whether the node has the append. Only polling changes it.
    #[must_use]
    pub fn handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }
}

impl Future for Appending {
    type Output = Result<Receipt, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = self.answer.as_mut() else { return Poll::Ready(Err(AppendError::AnsweredAlready)) };
        let polled = answer.as_mut().poll(context);
        if polled.is_ready() {
            self.answer = None;
        }
        polled
    }
}

/// Hands the payloads over and waits for the answers.
async fn make(
    space: &Space,
    payloads: Vec<Bytes>,
    how: How,
    handed_over: &AtomicBool,
) -> Vec<Result<Receipt, AppendError>> {
    let began = Instant::now();
    let timeout = how.timeout.unwrap_or_else(|| space.append_timeout());
    let mut refused = wait_for_opening(space, timeout).await.err();
    let mut answers = Vec::with_capacity(payloads.len());
    let mut waiting = Vec::with_capacity(payloads.len().div_ceil(APPENDS_PER_REQUEST));
    let mut payloads = payloads.into_iter();
    while refused.is_none() && payloads.len() > 0 {
        let Ok(room) = space.node().room().await else {
            refused = Some(AppendError::Shutdown);
            break;
        };
        if space.is_closed() {
            refused = Some(AppendError::Closed { space: space.name().clone() });
            break;
        }
        let left = timeout.saturating_sub(began.elapsed());
        let appends: Vec<AppendRequest> = payloads
            .by_ref()
            .take(APPENDS_PER_REQUEST)
            .map(|payload| AppendRequest {
                entry_type: how.entry_type,
                ack: how.ack,
                timeout: Some(left),
                ..AppendRequest::new(space.id(), payload)
            })
            .collect();
        handed_over.store(true, Ordering::Release);
        waiting.push((appends.len(), room.hand_over(appends)));
    }
    for (count, answer) in waiting {
        match answer.await {
            Ok(outcomes) => answers.extend(outcomes.into_iter().map(|outcome| judge(space, outcome))),
            Err(_) => {
                let failure = space.node().failure();
                answers.extend((0..count).map(|_| Err(AppendError::Unanswered { failure: failure.clone() })));
            }
        }
    }
    let refused = refused.unwrap_or(AppendError::Shutdown);
    answers.extend(payloads.map(|_| Err(refused.clone())));
    answers
}

/// A primary that has just started takes appends a few milliseconds later: nobody else should have to wait for that.
async fn wait_for_opening(space: &Space, timeout: Duration) -> Result<(), AppendError> {
    if space.is_closed() {
        return Err(AppendError::Closed { space: space.name().clone() });
    }
    let mut role = space.role_receiver();
    let opens = |role: Role| matches!(role, Role::Candidate | Role::Opening);
    if !opens(role.borrow().role) {
        return Ok(());
    }
    let sleep = space.sleep(timeout);
    tokio::select! {
        biased;
        opened = role.wait_for(|state| !opens(state.role)) => {
            opened.map(drop).map_err(|_| AppendError::Shutdown)
        }
        () = sleep => Err(AppendError::NotReady),
    }
}

fn judge(space: &Space, outcome: Outcome) -> Result<Receipt, AppendError> {
    match outcome {
        Outcome::Appended { token } => Ok(Receipt { space: space.clone(), token }),
        // A token that names nothing stands for an answer that the node could not give.
        Outcome::Unknown { token, .. } if token.sequence == Sequence::ZERO => {
            Err(AppendError::Unanswered { failure: space.node().failure() })
        }
        Outcome::Unknown { token, acked_by } => Err(AppendError::Unknown { token, acked_by }),
        Outcome::Failed(error) => Err(refusal(error, |primary| space.hint(primary))),
        // Neither answers an append.
        Outcome::Resolved { .. } | Outcome::Entries { .. } | Outcome::Standing { .. } => {
            Err(AppendError::Unanswered { failure: space.node().failure() })
        }
    }
}

fn refusal(error: core::AppendError, hint: impl FnOnce(NodeId) -> PrimaryHint) -> AppendError {
    match error {
        core::AppendError::NotPrimary { primary } => AppendError::NotPrimary { hint: hint(primary) },
        core::AppendError::NotReady | core::AppendError::NoPrimary | core::AppendError::Isolated => {
            AppendError::NotReady
        }
        core::AppendError::NotEnoughReplicas { ack, epoch } => AppendError::NotEnoughReplicas { ack, epoch },
        core::AppendError::ExposureReached { bytes, age_ms } => AppendError::ExposureReached { bytes, age_ms },
        core::AppendError::TooLarge { expected, found } => AppendError::TooLarge { expected, found },
        core::AppendError::Overloaded { waiting, bytes } => AppendError::Overloaded { waiting, bytes },
        core::AppendError::Stopped(reason) => AppendError::Stopped { reason },
        core::AppendError::Shutdown => AppendError::Shutdown,
        error @ (core::AppendError::UnknownSpace { .. }
        | core::AppendError::ReservedControl { .. }
        | core::AppendError::Promotion(_)) => AppendError::Defect { error },
    }
}

/// An append that is as durable as was asked.
#[derive(Debug, Clone)]
pub struct Receipt {
    space: Space,
    token: Token,
}

impl Receipt {
    /// What the append is known by, on every node and after every restart.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.token
    }

    /// The entry's place in the log.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.token.sequence
    }

    /// Waits until the entry is committed, and applied by the engine here where there is one: for appends that were
    /// answered at [`Ack::Local`].
    pub fn committed(&self) -> WaitFor {
        self.space.wait_for(self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SpaceName;

    /// A handle of a space that a node has never names another, nor control bytes: only a defect leads here.
    #[test]
    fn what_no_caller_can_bring_about_is_told_as_a_defect_and_not_as_their_mistake() {
        let hint = |node| PrimaryHint { node, address: None };
        let space = SpaceName::new("orders").expect("a name").id();
        for error in [core::AppendError::UnknownSpace { space }, core::AppendError::ReservedControl { found: 9 }] {
            let refused = refusal(error.clone(), hint);
            assert_eq!(refused, AppendError::Defect { error });
            assert!(refused.to_string().contains("this is a defect of engraft"), "{refused}");
        }
    }
}
