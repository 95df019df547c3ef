//! Where results go: standard output, through one buffered writer.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use crate::failure::Failure;
use crate::sizes::Units;
use crate::table::Table;

/// Results on standard output, notes on standard error.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Output {
    writer: BufWriter<Box<dyn Write + Send>>,
    wrote: bool,
    /// Print JSON instead of text.
    pub(crate) json: bool,
    /// Print the heading line of tables.
    pub(crate) headings: bool,
    /// Print totals under tables.
    pub(crate) footers: bool,
    /// How sizes are printed.
    pub(crate) units: Units,
}

impl Output {
    /// Standard output.
    pub(crate) fn stdout(json: bool, headings: bool, footers: bool, units: Units) -> Self {
        let writer = BufWriter::new(Box::new(io::stdout()) as Box<dyn Write + Send>);
        Self { writer, wrote: false, json, headings, footers, units }
    }

    /// Whether anything was printed; a command that printed must not be run again.
    pub(crate) fn wrote(&self) -> bool {
        self.wrote
    }

    /// Prints text as it is.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.wrote = true;
        self.writer.write_all(text.as_bytes()).map_err(Failure::stdout)
    }

    /// Prints a line, unless JSON was asked for: messages are for people.
    pub(crate) fn message(&mut self, line: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        self.text(line)?;
        self.text("\n")?;
        // Seen as it happens, also when the output is a pipe.
        self.flush()
    }

    /// Prints a table.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failure> {
        self.text(&table.render(self.headings))
    }

    /// Prints a structure as JSON, indented by four blanks.
    pub(crate) fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        self.text(&to_json(value)?)?;
        self.text("\n")
    }

    /// Pushes everything out.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(Failure::stdout)
    }
}

/// A structure as JSON text, indented by four blanks.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value
        .serialize(&mut serializer)
        .map_err(|e| Failure::Other(format!("cannot print JSON: {e}")))?;
    String::from_utf8(bytes).map_err(|e| Failure::Other(format!("cannot print JSON: {e}")))
}

/// Prints a line on standard error. Nobody can be told when that fails.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Asks on standard error and reads the answer from standard input.
///
/// Without a terminal there is nobody to ask: that is wrong usage, and `--yes` is the remedy.
pub(crate) fn confirm(question: &str) -> Result<bool, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(format!("{question} Not confirmed: add --yes to proceed.")));
    }
    let _ = write!(io::stderr(), "{question} [Y/N] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    stdin
        .read_line(&mut answer)
        .map_err(|source| Failure::Stream { stream: "standard input", source })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_by_four() {
        assert_eq!(
            to_json(&serde_json::json!({"a": [1]})).unwrap(),
            "{\n    \"a\": [\n        1\n    ]\n}"
        );
    }
}
