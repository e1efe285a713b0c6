//! Matrix units on adapters that have none: what they do is put in its place in plain WGSL, a lane of 32 with its share of each matrix. All
//! else of the kernels, each index among them, is what Metal (8 × 8) and Vulkan (16 × 16) get.

use tensorlogic::gpu::{Faults, KernelFault};

/// The kernels that use them.
pub const OPS: [&str; 2] = ["matmul_cooperative", "attention_cooperative"];

/// The kernel that adds up what workgroups of theirs share.
pub const JOIN: &str = "join";

/// Of a 16 × 16 matrix a lane has half a row, of 8 × 8 a quarter; of a left factor it has the row, of a right one the columns. Matrices in
/// memory are read by rows where the name ends in T, else by columns.
const EMULATION: &str = "
const COLUMNS: u32 = EDGE * EDGE / 32u;
alias LeftPart = array<f32, EDGE>;
alias RightPart = array<array<f32, COLUMNS>, EDGE>;
alias SumPart = array<f32, COLUMNS>;
var<private> emulated_lane: u32;
fn own_row() -> u32 { return emulated_lane * COLUMNS / EDGE; }
fn own_column() -> u32 { return emulated_lane * COLUMNS % EDGE; }
fn emulated_left(at: u32, pitch: u32) -> LeftPart {
    var part: LeftPart;
    for (var k = 0u; k < EDGE; k++) { part[k] = tile_element(at, pitch, own_row(), k); }
    return part;
}
fn emulated_right_T(at: u32, pitch: u32) -> RightPart {
    var part: RightPart;
    for (var k = 0u; k < EDGE; k++) {
        for (var n = 0u; n < COLUMNS; n++) { part[k][n] = tile_element(at, pitch, k, own_column() + n); }
    }
    return part;
}
fn emulated_right(at: u32, pitch: u32) -> RightPart {
    var part: RightPart;
    for (var k = 0u; k < EDGE; k++) {
        for (var n = 0u; n < COLUMNS; n++) { part[k][n] = tile_element(at, pitch, own_column() + n, k); }
    }
    return part;
}
fn emulated_multiply_add(a: LeftPart, b: RightPart, sum: SumPart) -> SumPart {
    var left = a;
    var right = b;
    var total = sum;
    for (var k = 0u; k < EDGE; k++) {
        for (var n = 0u; n < COLUMNS; n++) { total[n] += left[k] * right[k][n]; }
    }
    return total;
}
fn emulated_store(part: SumPart, at: u32, pitch: u32) {
    var own = part;
    for (var n = 0u; n < COLUMNS; n++) { sums[at + own_row() * pitch + own_column() + n] = own[n]; }
}
";

const EDGE_16: &str = "
const EDGE: u32 = 16u;
fn tile_element(at: u32, pitch: u32, row: u32, column: u32) -> f32 { return f32(tiles[at + row * pitch + column / 4u][column % 4u]); }
";

const EDGE_8: &str = "
const EDGE: u32 = 8u;
fn tile_element(at: u32, pitch: u32, row: u32, column: u32) -> f32 { return f32(tiles[at + row * pitch + column]); }
fn emulated_sum(at: u32, pitch: u32) -> SumPart {
    var part: SumPart;
    for (var n = 0u; n < COLUMNS; n++) { part[n] = zeros[at + own_row() * pitch + own_column() + n]; }
    return part;
}
";

/// What is put in place of what the matrix units do.
fn emulation(edge: usize) -> Vec<(String, String)> {
    let (suffix, pitch, element) = if edge == 8 { ("8", "row", EDGE_8) } else { ("", "pitch", EDGE_16) };
    let mut all = vec![
        ("enable wgpu_cooperative_matrix;\n".into(), String::new()),
        (format!("alias Left{suffix} = coop_mat{edge}x{edge}<f16, A>;"), format!("{element}{EMULATION}alias Left{suffix} = LeftPart;")),
        (format!("coop_mat{edge}x{edge}<f16, B>"), "RightPart".into()),
        (format!("coop_mat{edge}x{edge}<f32, C>"), "SumPart".into()),
        (format!("coopLoadT<Left{suffix}>(&tiles["), "emulated_left(".into()),
        (format!("coopLoadT<Right{suffix}>(&tiles["), "emulated_right_T(".into()),
        (format!("coopLoad<Right{suffix}>(&tiles["), "emulated_right(".into()),
        ("coopMultiplyAdd(".into(), "emulated_multiply_add(".into()),
        ("coopStoreT(".into(), "emulated_store(".into()),
        (", &sums[".into(), ", ".into()),
        ("], row)".into(), ", row)".into()),
        (format!("], {pitch})"), format!(", {pitch})")),
        ("let rows = rows_of_run(".into(), "emulated_lane = local % 32u;\n    let rows = rows_of_run(".into()),
        ("let rows = segment.first_row".into(), "emulated_lane = local % 32u;\n    let rows = segment.first_row".into()),
    ];
    if edge == 8 {
        all.extend([("coopLoadT<Sum8>(&zeros[".into(), "emulated_sum(".into()), ("], 8u)".into(), ", 8u)".into())]);
    }
    all
}

/// What makes an adapter seem to have matrix units of this edge, with other changes planted before in their kernels.
pub fn emulated(edge: usize, planted: &[(&str, &str)]) -> Faults {
    let leak = |text: String| -> &'static str { text.leak() };
    let fault = |op, (from, to): (String, String)| KernelFault { op, from: leak(from), to: leak(to) };
    let planted = || planted.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
    let of_matrices = OPS.into_iter().flat_map(|op| planted().chain(emulation(edge)).map(move |edit| fault(op, edit)));
    let kernels = of_matrices.chain(planted().map(|edit| fault(JOIN, edit))).collect();
    Faults { kernels, matrix_edge: Some(edge), ..Faults::default() }
}
