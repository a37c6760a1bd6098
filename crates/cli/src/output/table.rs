//! Tables with aligned columns.

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a head.
pub(crate) struct Table<const N: usize> {
    columns: [(&'static str, Align); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [(&'static str, Align); N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    pub(crate) fn render(&self) -> String {
        let head = self.columns.map(|(name, _)| name.to_owned());
        let lines: Vec<&[String; N]> = std::iter::once(&head).chain(&self.rows).collect();
        let mut widths = [0; N];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line.iter()) {
                *width = cell.chars().count().max(*width);
            }
        }
        lines.iter().map(|line| self.render_line(line, &widths)).collect()
    }

    fn render_line(&self, cells: &[String; N], widths: &[usize; N]) -> String {
        let aligned: Vec<String> = cells
            .iter()
            .zip(widths)
            .zip(&self.columns)
            .map(|((cell, width), (_, align))| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        format!("{}\n", aligned.join("  ").trim_end())
    }
}

/// Names and values, one pair on a line; pairs without a value are left out.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let shown = || pairs.iter().filter(|(_, value)| !value.is_empty());
    let width = shown().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    shown().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_text() {
        let mut table =
            Table::new([("name", Align::Left), ("size", Align::Right), ("", Align::Left)]);
        table.push(["a".into(), "1.0 KiB".into(), String::new()]);
        table.push(["ärger".into(), "5 B".into(), "x".into()]);
        assert_eq!(table.render(), "name      size\na      1.0 KiB\närger      5 B  x\n");
    }

    #[test]
    fn pairs_without_a_value_are_left_out() {
        let text = pairs(&[("id", "7".into()), ("labels", String::new()), ("host", "h".into())]);
        assert_eq!(text, "id    7\nhost  h\n");
    }
}
