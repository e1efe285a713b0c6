//! Einsum, embedding, and linear for every weight type on odd shapes.

use crate::tensor::quant::formats;
use crate::tensor::{DType, HostTensor, Quant};

use super::Arithmetic;
use super::case::{Bound, Case, weight};
use super::noise::Noise;

/// Every type that a weight can have.
pub fn weight_types() -> Vec<DType> {
    [DType::F32, DType::F16, DType::BF16].into_iter().chain(formats().map(|f| DType::Quant(Quant(f)))).collect()
}

/// The relative error of a product with a weight of this type, and how large such a product is: activations in blocks of 32 rounded to int8
/// have a relative error of about 1 / (127 √3) of their maximum, f16 tiles of 2⁻¹¹.
pub fn linear_bound(arithmetic: Arithmetic, dtype: DType, k: usize) -> (f64, f64) {
    let bound = match (arithmetic, dtype) {
        (Arithmetic::Precise, _) => 2e-6,
        (Arithmetic::Fast, DType::Quant(_)) => 2e-2,
        (Arithmetic::Fast, DType::BF16) => 6e-3,
        (Arithmetic::Fast, _) => 1e-3,
    };
    // Activations have a deviation of 1, weights of about 1 but for one block in seven.
    (bound, 0.8 * (k as f64).sqrt())
}

fn scaled((bound, magnitude): (f64, f64)) -> Bound {
    Bound::Scaled { bound, magnitude }
}

pub fn cases(arithmetic: Arithmetic, cases: &mut Vec<Case>) {
    let mut noise = Noise::new(4);
    for (spec, a, b) in [
        ("ij,jk->ik", vec![5, 33], vec![33, 7]),
        ("ihd,jhd->ihj", vec![3, 4, 16], vec![5, 4, 16]),
        ("bij,jk->bki", vec![2, 3, 31], vec![31, 4]),
        ("i,j->ij", vec![5], vec![3]),
        ("ij,ij->", vec![4, 33], vec![4, 33]),
        ("ii,i->i", vec![5, 5], vec![5]),
    ] {
        cases.push(Case::of(format!("einsum {spec}"), Bound::Relative(1e-5), vec![noise.f32(a), noise.f32(b)], |g, i| {
            vec![g.einsum(spec, i).expect("operands that fit")]
        }));
    }
    cases.push(Case::of("einsum ij->j", Bound::Relative(1e-5), vec![noise.f32([33, 5])], |g, i| {
        vec![g.einsum("ij->j", i).expect("one operand")]
    }));
    cases.push(Case::of(
        "matmul with broadcast batches",
        Bound::Relative(1e-5),
        vec![noise.f32([2, 1, 3, 17]), noise.f32([4, 17, 5])],
        |g, i| vec![g.matmul(i[0], i[1]).expect("matrices that fit")],
    ));
    for dtype in weight_types() {
        let block = dtype.block_len().max(32);
        let table = weight(&mut noise, "table", [33, 2 * block], dtype);
        // Two of the ids are no rows of the table.
        let ids = HostTensor::i32([5], vec![32, -1, 7, 33, 0]);
        cases.push(Case::of(format!("embedding {dtype}"), Bound::Relative(1e-6), vec![ids], |g, i| {
            let table = g.weight(table);
            vec![g.embedding(i[0], table).expect("ids and a table")]
        }));
        let few_blocks = [(1, 1, 1), (3, 2, 2), (33, 3, 1), (31, 1, 5), (127, 2, 33), (257, 1, 70), (2, 11, 1), (64, 11, 64)];
        // Wide enough for activations of eight bits, of which software adapters with eight lanes take two, four or eight groups at a time.
        let wide = [(65, 512, 1), (33, 1024, 1), (70, 5632, 1), (33, 512, 3), (34, 2048, 8), (33, 1024, 9), (40, 1024, 20)];
        for (n, k, rows) in few_blocks.map(|(n, n_blocks, rows)| (n, n_blocks * block, rows)).into_iter().chain(wide) {
            let w = weight(&mut noise, "w", [n, k], dtype);
            let name = format!("linear {dtype} {n}x{k}, {rows} rows");
            cases.push(Case::of(name, scaled(linear_bound(arithmetic, dtype, k)), vec![noise.f32([rows, k])], |g, i| {
                let w = g.weight(w);
                vec![g.linear(i[0], w).expect("sizes that fit")]
            }));
        }
    }
    // Columns in shares of which the last is shorter, and rows and tokens that no tile divides.
    let of_short_blocks = formats().find(|f| f.block_len == 32).map(|f| DType::Quant(Quant(f)));
    for dtype in [DType::F16].into_iter().chain(of_short_blocks) {
        for rows in [31, 50, 100] {
            let (n, k) = (67, 1152);
            let w = weight(&mut noise, "w", [n, k], dtype);
            let name = format!("linear {dtype} {n}x{k}, {rows} rows");
            cases.push(Case::of(name, scaled(linear_bound(arithmetic, dtype, k)), vec![noise.f32([rows, k])], |g, i| {
                let w = g.weight(w);
                vec![g.linear(i[0], w).expect("sizes that fit")]
            }));
        }
    }
    // Row lengths that no tile divides, as files with narrow feed-forwards have; many tiles.
    for (n, k, rows) in [(65, 172, 1), (40, 172, 17), (9, 7, 3), (4096, 64, 512)] {
        for dtype in [DType::F32, DType::F16] {
            let w = weight(&mut noise, "w", [n, k], dtype);
            let name = format!("linear {dtype} {n}x{k}, {rows} rows");
            cases.push(Case::of(name, scaled(linear_bound(arithmetic, dtype, k)), vec![noise.f32([rows, k])], |g, i| {
                let w = g.weight(w);
                vec![g.linear(i[0], w).expect("sizes that fit")]
            }));
        }
    }
}
