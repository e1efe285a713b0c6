//! Tables of text.

/// Columns of equal width, two spaces apart, those of `right` to the right.
pub fn aligned(rows: &[Vec<String>], right: std::ops::Range<usize>) -> String {
    let n = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (i, (cell, &width)) in row.iter().zip(&widths).enumerate().filter(|(_, (_, width))| **width > 0) {
            let padded = if right.contains(&i) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line += &padded;
            line += "  ";
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_empty_ones_are_left_out() {
        let rows = [["a", "", "10"], ["bcd", "", "1"]].map(|cells| cells.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows, 2..3), "a    10\nbcd   1\n");
    }
}
