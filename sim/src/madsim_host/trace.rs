//! What happened in a run, line by line, as the driver logs it.

use alloc::sync::Arc;
use core::fmt::{self, Write};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceLine {
    /// When, since the world began.
    pub at: Duration,
    /// How loud it is in the log; `None` for what the story itself did.
    pub level: Option<Level>,
    /// What, the node first.
    pub text: String,
}

/// The lines of a run. Clones are the same trace.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    lines: Arc<Mutex<Vec<TraceLine>>>,
}

impl Trace {
    /// Adds a line of the story's own.
    pub fn milestone(&self, text: impl Into<String>) {
        self.push(None, text.into());
    }

    /// Every line that was recorded, with microseconds: what two runs are compared by.
    #[must_use]
    pub fn full(&self) -> String {
        let mut text = String::new();
        for line in &*self.lock() {
            let level = line.level.map_or("STORY", |level| level.as_str());
            let (seconds, micros) = (line.at.as_secs(), line.at.subsec_micros());
            // Writing to a string does not fail.
            let _ = writeln!(text, "{seconds:>3}.{micros:06} {level:<5} {}", line.text);
        }
        text
    }

    /// What people review: milestones and everything from "info" up, with milliseconds, repeats folded.
    #[must_use]
    pub fn story(&self) -> String {
        let mut text = String::new();
        let mut repeats = 0_u32;
        let lines = self.lock();
        let shown = lines.iter().filter(|line| line.level.is_none_or(|level| level <= Level::INFO)).collect::<Vec<_>>();
        for (index, line) in shown.iter().enumerate() {
            if shown.get(index + 1).is_some_and(|next| next.text == line.text) {
                repeats += 1;
                continue;
            }
            let mark = if line.level.is_none() { "== " } else { "" };
            let _ = write!(text, "{:>3}.{:03}  {mark}{}", line.at.as_secs(), line.at.subsec_millis(), line.text);
            if repeats > 0 {
                let _ = write!(text, " ({} times)", repeats + 1);
            }
            text.push('\n');
            repeats = 0;
        }
        text
    }

    fn push(&self, level: Option<Level>, text: String) {
        let at = madsim::time::TimeHandle::try_current().map(|time| time.elapsed()).unwrap_or_default();
        self.lock().push(TraceLine { at, level, text });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<TraceLine>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears what the driver logs up to a level, and nothing else.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) trace: Trace,
    pub(super) level: Level,
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level && metadata.target().starts_with("engraft::")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.trace.push(Some(*event.metadata().level()), format!("{} {}", line.node, line.message));
    }

    fn new_span(&self, _attributes: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

#[derive(Default)]
struct Line {
    node: String,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "node" => self.node = format!("{value:?}"),
            "message" => self.message = format!("{value:?}"),
            _ => {}
        }
    }
}
