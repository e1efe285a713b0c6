//! Rows of a table by the ids that were fed.

use super::{Context, Target, What};

/// Row `id + shift` of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    pub table: String,
    pub shift: i64,
    pub factor: f64,
}

const SHIFTS: [i64; 9] = [0, 1, -1, 2, -2, 3, -3, 4, -4];

pub(super) fn find(target: &Target<'_>, context: &Context<'_>) -> Option<What> {
    let ids = context.ids.as_ref().filter(|ids| ids.len() == target.n_rows())?;
    let width = target.width();
    let tables = context.weights.iter().filter(|w| w.shape.rank() == 2 && w.shape[1] == width && w.shape[0] > 2 * ids.len());
    for table in tables.filter(|w| !w.name.starts_with("blk.")) {
        let Ok(bytes) = table.source.bytes() else { continue };
        let n_rows = table.shape[0];
        let row_bytes = bytes.len() / n_rows.max(1);
        let row = |id: i64| {
            let id = usize::try_from(id).ok().filter(|&id| id < n_rows)?;
            let mut values = vec![0.0f32; width];
            table.dtype.dequantize(bytes.get(id * row_bytes..(id + 1) * row_bytes)?, &mut values);
            Some(values)
        };
        for shift in SHIFTS {
            let Some(rows) = ids.iter().map(|&id| row(i64::from(id) + shift)).collect::<Option<Vec<Vec<f32>>>>() else { continue };
            let values: Vec<f64> = rows.concat().into_iter().map(f64::from).collect();
            let Some(factor) = super::copy::fitted(target.values, &values, &target.sample()) else { continue };
            let factor = if (factor - 1.0).abs() < 1e-3 { 1.0 } else { factor };
            if target.rest(|i| factor * values[i]).is_some() {
                return Some(What::Rows(Rows { table: table.name.clone(), shift, factor }));
            }
        }
    }
    None
}
