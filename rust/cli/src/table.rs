//! Tables: rows are built as plain text elsewhere, laid out here.

use comfy_table::{Cell, CellAlignment, presets};

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings, without borders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new<S: Into<String>>(columns: impl IntoIterator<Item = (S, Align)>) -> Self {
        Self {
            columns: columns.into_iter().map(|(title, align)| (title.into(), align)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with one cell per column; control characters become visible escapes.
    pub(crate) fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Removes the column `title` when `dull` says so of every cell in it.
    pub(crate) fn drop_when(&mut self, title: &str, dull: impl Fn(&str) -> bool) {
        let Some(at) = self.columns.iter().position(|(name, _)| name == title) else { return };
        if !self.rows.iter().all(|row| row.get(at).is_none_or(|cell| dull(cell))) {
            return;
        }
        self.columns.remove(at);
        for row in self.rows.iter_mut().filter(|row| at < row.len()) {
            row.remove(at);
        }
    }

    /// Lays the table out: lines without trailing blanks, each ended by a newline.
    pub(crate) fn render(&self, headings: bool) -> String {
        if self.rows.is_empty() && !headings {
            return String::new();
        }
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING);
        let aligned = |text: &str, align: Align| {
            Cell::new(text).set_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            })
        };
        if headings {
            table.set_header(self.columns.iter().map(|(title, align)| aligned(title, *align)));
        }
        for row in &self.rows {
            table.add_row(row.iter().zip(&self.columns).map(|(cell, (_, a))| aligned(cell, *a)));
        }
        for column in table.column_iter_mut() {
            // Two blanks between columns, none before the first.
            column.set_padding((0, 2));
        }
        let mut text = String::new();
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Makes control characters visible, so that a name can neither break a line nor drive a terminal.
pub(crate) fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| {
            let escaped = if c.is_control() { Some(c.escape_default()) } else { None };
            let plain = if c.is_control() { None } else { Some(c) };
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// As [`printable`], but keeps line ends: for messages of several lines.
pub(crate) fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table =
            Table::new([("NAME", Align::Left), ("SIZE", Align::Right), ("STATUS", Align::Left)]);
        table.push(["a".into(), "1.00KiB".into(), "ok".into()]);
        table.push(["long/name".into(), "7B".into(), "ok".into()]);
        table
    }

    #[test]
    fn columns_align_without_borders_or_trailing_blanks() {
        assert_eq!(
            sample().render(true),
            "NAME          SIZE  STATUS\na          1.00KiB  ok\nlong/name       7B  ok\n"
        );
        assert_eq!(sample().render(false), "a          1.00KiB  ok\nlong/name       7B  ok\n");
    }

    #[test]
    fn dull_columns_disappear_and_others_stay() {
        let mut table = sample();
        table.drop_when("STATUS", |cell| cell == "ok");
        table.drop_when("SIZE", str::is_empty);
        assert_eq!(table.render(true).lines().next().unwrap(), "NAME          SIZE");
    }

    #[test]
    fn names_cannot_break_lines_or_drive_the_terminal() {
        let mut table = Table::new([("NAME", Align::Left)]);
        table.push(["a\nb\u{1b}[31m ü".into()]);
        assert_eq!(table.render(false), "a\\nb\\u{1b}[31m ü\n");
    }

    #[test]
    fn an_empty_table_has_headings_only() {
        let table = Table::new([("NAME", Align::Left)]);
        assert_eq!((table.render(true).as_str(), table.render(false).as_str()), ("NAME\n", ""));
    }
}
