//! Telling whoever watches what is measured right now.

use ::core::time::Duration;
use std::io::{IsTerminal, stderr};

use indicatif::ProgressBar;

/// A line on stderr; silent where stderr is no terminal.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Begins with an empty line.
    pub(super) fn start() -> Self {
        Self(stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        }))
    }

    /// Says what is measured from now on.
    pub(super) fn now(&self, what: impl Into<String>) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.into());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
