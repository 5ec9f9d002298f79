//! Where text goes: data to stdout, progress and notes to stderr. Tests give buffers instead.

use std::{fmt::Display, io::Write};

use crate::error::Result;

/// The two streams of a verb. Every line is flushed, so that a watcher sees it when it happens.
pub(crate) struct Screen {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
}

impl Screen {
    /// The process's own streams.
    pub(crate) fn standard() -> Self {
        Screen::new(std::io::stdout(), std::io::stderr())
    }

    /// On any two writers.
    pub(crate) fn new(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> Self {
        Screen { out: Box::new(out), err: Box::new(err) }
    }

    /// One line, or several, of data.
    ///
    /// # Errors
    /// If the reader is gone.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<()> {
        writeln!(self.out, "{text}")?;
        Ok(self.out.flush()?)
    }

    /// Bytes of data as they are.
    ///
    /// # Errors
    /// If the reader is gone.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        Ok(self.out.flush()?)
    }

    /// A line for the person only; lost silently if stderr is closed.
    pub(crate) fn note(&mut self, text: impl Display) {
        // Nobody reads notes: nothing is left to be done about it.
        let _ = writeln!(self.err, "{text}");
        let _ = self.err.flush();
    }
}
