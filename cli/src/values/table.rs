//! Rows as lines whose columns line up.

/// Rows as lines: numbers stand to the right of their column, text to the left.
pub fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(text, width)| match is_number(text) {
            true => format!("{text:>width$}"),
            false => format!("{text:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A number, perhaps with a unit behind it.
fn is_number(text: &str) -> bool {
    let number = text.split(' ').next().unwrap_or_default();
    number.parse::<f64>().is_ok() && !text.contains(':')
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "10 ns".to_owned(), "x".to_owned()],
            vec!["bcd".to_owned(), "5 ns".to_owned(), "yz".to_owned()],
        ];
        assert_eq!(aligned(&rows), ["a    10 ns  x", "bcd   5 ns  yz"]);
    }
}
