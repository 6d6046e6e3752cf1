//! Data, on stdout.

use std::io::{self, BufWriter, StdoutLock, Write};

use super::exit::Failure;

/// Stdout, as a command writes to it. A reader that has had enough (`| head`) ends the writing and is no failure.
#[derive(Debug)]
pub(super) struct Output {
    stdout: BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { stdout: BufWriter::new(io::stdout().lock()) }
    }

    /// Writes a line; false where nobody reads any more.
    pub(super) fn line(&mut self, line: &str) -> Result<bool, Failure> {
        self.text(line)?;
        self.text("\n")
    }

    /// Writes a text; false where nobody reads any more.
    pub(super) fn text(&mut self, text: &str) -> Result<bool, Failure> {
        judge(self.stdout.write_all(text.as_bytes()))
    }

    /// Writes out what is held, for those who wait for it; false where nobody reads any more.
    pub(super) fn flush(&mut self) -> Result<bool, Failure> {
        judge(self.stdout.flush())
    }

    /// Writes bytes; false where nobody reads any more.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        judge(self.stdout.write_all(bytes))
    }

    /// Writes out what is still held.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        judge(self.stdout.flush()).map(|_| ())
    }
}

/// Writes a text to stdout.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut output = Output::new();
    output.text(text)?;
    output.finish()
}

fn judge(written: io::Result<()>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::failed(format!("cannot write to stdout: {error}"))),
    }
}
