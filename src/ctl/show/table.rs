//! Columns two spaces apart, as wide as their widest cell, without lines and without trailing blanks.

use std::fmt;

/// A table under construction.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Table { rows: vec![headings.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row; an empty cell shows as `<none>`.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = cells.into_iter().map(|cell| if cell.is_empty() { "<none>".into() } else { cell });
        self.rows.push(shown.collect());
        debug_assert_eq!(
            self.rows.last().map(Vec::len),
            Some(self.rows[0].len()),
            "a row has a cell a heading"
        );
    }
}

impl Table {
    /// Puts a column before the others: its heading, and a cell a row.
    pub(crate) fn before(mut self, heading: &str, cells: Vec<String>) -> Self {
        debug_assert_eq!(cells.len() + 1, self.rows.len(), "a cell a row");
        let column = std::iter::once(heading.to_owned()).chain(cells);
        self.rows.iter_mut().zip(column).for_each(|(row, cell)| row.insert(0, cell));
        self
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (at, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            write!(f, "{}{}", if at == 0 { "" } else { "\n" }, line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_two_spaces_apart_and_lines_end_where_their_text_ends() {
        let mut table = Table::new(["ID", "Class", "Status"]);
        table.row(["0b46eda1".into(), String::new(), "ready".into()]);
        table.row(["é".into(), "docker".into(), "down".into()]);
        assert_eq!(
            table.to_string(),
            "ID        Class   Status\n0b46eda1  <none>  ready\né         docker  down"
        );
    }
}
