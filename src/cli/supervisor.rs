//! What a service manager is told: systemd by its protocol, and whoever else sets `NOTIFY_SOCKET`.

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// The node serves.
    Ready,
    /// The node stops.
    Stopping,
}

/// Tells it, where somebody listens. Nobody's listening is no reason to stop.
pub(super) fn tell(word: Word) {
    #[cfg(unix)]
    {
        let state = match word {
            Word::Ready => sd_notify::NotifyState::Ready,
            Word::Stopping => sd_notify::NotifyState::Stopping,
        };
        if let Err(error) = sd_notify::notify(&[state]) {
            tracing::warn!(%error, "the service manager could not be told: {word:?}");
        }
    }
    #[cfg(not(unix))]
    let _ = word;
}
