//! A series in as many columns as a drawing has: what lies in a column is drawn from its least to its greatest value, so
//! nothing that stands out is lost.

/// One row of a series: from when, until when, and what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Rows in pieces without gaps, each in columns of at least `column_s` seconds.
pub(crate) fn pieces(cells: impl IntoIterator<Item = Option<Cell>>, column_s: f64) -> Vec<Vec<Cell>> {
    let mut pieces: Vec<Vec<Cell>> = Vec::new();
    let mut open: Vec<Cell> = Vec::new();
    for cell in cells {
        let Some(cell) = cell else {
            pieces.extend((!open.is_empty()).then(|| std::mem::take(&mut open)));
            continue;
        };
        match open.last_mut() {
            Some(last) if last.to_s - last.from_s < column_s && cell.to_s - last.from_s <= column_s * 1.5 => {
                last.to_s = cell.to_s;
                last.low = last.low.min(cell.low);
                last.high = last.high.max(cell.high);
            }
            _ => open.push(cell),
        }
    }
    pieces.extend((!open.is_empty()).then_some(open));
    pieces
}

/// A piece as a line: a step for each column, and its whole reach where values differ in it.
pub(crate) fn line(piece: &[Cell]) -> Vec<(f64, f64)> {
    let mut points = Vec::with_capacity(piece.len() * 2);
    for cell in piece {
        if cell.low == cell.high {
            points.extend([(cell.from_s, cell.low), (cell.to_s, cell.low)]);
        } else {
            let middle = f64::midpoint(cell.from_s, cell.to_s);
            points.extend([(middle, cell.low), (middle, cell.high)]);
        }
    }
    points
}

/// A piece as an area between its least and its greatest values.
pub(crate) fn area(piece: &[Cell]) -> Vec<(f64, f64)> {
    let above = piece.iter().flat_map(|cell| [(cell.from_s, cell.high), (cell.to_s, cell.high)]);
    let below = piece.iter().rev().flat_map(|cell| [(cell.to_s, cell.low), (cell.from_s, cell.low)]);
    above.chain(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(second: usize, value: f64) -> Option<Cell> {
        let from_s = second as f64;
        Some(Cell { from_s, to_s: from_s + 1.0, low: value, high: value })
    }

    #[test]
    fn what_stands_out_stays_in_its_column() {
        let cells = (0..1_800).map(|n| cell(n, if n == 777 { 99.0 } else { 1.0 }));
        let pieces = pieces(cells, 10.0);
        assert_eq!(pieces.len(), 1);
        assert!(pieces[0].len() <= 181, "{}", pieces[0].len());
        let highest = pieces[0].iter().find(|cell| cell.high == 99.0).unwrap();
        assert!((highest.from_s..highest.to_s).contains(&777.0) && highest.low == 1.0);
    }

    #[test]
    fn a_row_without_a_value_is_a_gap() {
        let pieces = pieces([cell(0, 1.0), None, cell(2, 1.0), cell(3, 2.0)], 0.0);
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(line(&pieces[1]), [(2.0, 1.0), (3.0, 1.0), (3.0, 2.0), (4.0, 2.0)]);
    }
}
