//! Being told to stop: ctrl-c, and SIGTERM where there are signals.

use std::io;

use super::exit::Failure;

/// Listens from its making on, so that no signal is missed between two waits.
#[derive(Debug)]
pub(super) struct StopSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    /// Must be called within a tokio runtime.
    pub(super) fn listen() -> Result<Self, Failure> {
        let refused = |error: io::Error| Failure::failed(format!("cannot listen for signals: {error}"));
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let terminate = signal(SignalKind::terminate()).map_err(refused)?;
            let interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
            Ok(Self { terminate, interrupt })
        }
        #[cfg(not(unix))]
        {
            let _ = refused;
            Ok(Self {})
        }
    }

    /// Resolves at the first signal.
    pub(super) async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            ::core::future::pending::<()>().await;
        }
    }
}
