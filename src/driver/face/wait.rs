//! Waiting until an entry is there.

use ::core::future::{Future, IntoFuture};
use ::core::pin::Pin;
use ::core::time::Duration;
use alloc::boxed::Box;
use std::time::Instant;

use crate::core;
use crate::core::{Outcome, TokenState};
use crate::types::{Sequence, Token};

use super::error::WaitError;
use super::space::Space;

/// A wait for an entry: await it. It may be dropped at any time; nothing comes of that.
#[derive(Debug, Clone)]
#[must_use = "nothing waits until this is awaited"]
pub struct WaitFor {
    space: Space,
    token: Token,
    timeout: Option<Duration>,
}

impl WaitFor {
    pub(super) const fn new(space: Space, token: Token) -> Self {
        Self { space, token, timeout: None }
    }

    /// How long to wait; the node's `append_timeout` where this is not called.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl IntoFuture for WaitFor {
    type Output = Result<(), WaitError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let timeout = self.timeout.unwrap_or_else(|| self.space.append_timeout());
        Box::pin(async move { wait(&self.space, self.token, timeout).await })
    }
}

async fn wait(space: &Space, token: Token, timeout: Duration) -> Result<(), WaitError> {
    let began = Instant::now();
    match look(space, token, timeout).await? {
        TokenState::Committed => {}
        TokenState::Pending => return Err(WaitError::TimedOut { token }),
        TokenState::Lost => return Err(WaitError::Lost { token }),
    }
    let sleep = space.sleep(timeout.saturating_sub(began.elapsed()));
    tokio::select! {
        biased;
        here = here(space, token) => here,
        () = sleep => Err(WaitError::TimedOut { token }),
    }
}

/// What is known of a token once it is committed or lost, or when the time is over.
pub(super) async fn look(space: &Space, token: Token, timeout: Duration) -> Result<TokenState, WaitError> {
    if token.space != space.id() {
        return Err(WaitError::OtherSpace { expected: space.name().clone(), token });
    }
    if token.sequence == Sequence::ZERO {
        return Err(WaitError::NamesNothing { token });
    }
    match space.node().wait_for(token, timeout).await {
        Outcome::Resolved { state, .. } => Ok(state),
        Outcome::Failed(core::AppendError::Stopped(reason)) => Err(WaitError::Stopped { reason }),
        Outcome::Failed(core::AppendError::Overloaded { waiting, .. }) => Err(WaitError::Overloaded { waiting }),
        // The space is one of this node's, and the rest are answers to appends and reads.
        Outcome::Failed(
            core::AppendError::Shutdown
            | core::AppendError::NotPrimary { .. }
            | core::AppendError::NoPrimary
            | core::AppendError::Promotion(_)
            | core::AppendError::NotReady
            | core::AppendError::Isolated
            | core::AppendError::ExposureReached { .. }
            | core::AppendError::NotEnoughReplicas { .. }
            | core::AppendError::UnknownSpace { .. }
            | core::AppendError::TooLarge { .. }
            | core::AppendError::ReservedControl { .. },
        )
        | Outcome::Appended { .. }
        | Outcome::Unknown { .. }
        | Outcome::Standing { .. }
        | Outcome::Entries { .. } => Err(WaitError::Shutdown),
    }
}

/// Waits until a committed entry is in the log here, and in the engine's state where there is an engine.
async fn here(space: &Space, token: Token) -> Result<(), WaitError> {
    let mut reach = space.reach_receiver();
    if reach.wait_for(|reach| reach.readable() >= token.sequence).await.is_err() {
        return Err(WaitError::Shutdown);
    }
    let Some(mut applying) = space.applying_receiver() else { return Ok(()) };
    // It ends where the engine has stopped applying; then its last word counts.
    let ended = applying.wait_for(|applying| applying.applied >= token.sequence).await.is_err();
    let applying = applying.borrow().clone();
    if !ended || applying.applied >= token.sequence {
        return Ok(());
    }
    Err(applying.failure.map_or(WaitError::Shutdown, |failure| WaitError::ApplyFailed { failure }))
}
