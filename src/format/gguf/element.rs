//! The numbers by which a tensor directory names element types. Source: ggml `enum ggml_type`.

use crate::tensor::DType;
use crate::tensor::quant::{Quant, formats};

/// The plain types that the engine reads; block formats have their number in their own file.
const PLAIN: [(u32, DType); 4] = [(0, DType::F32), (1, DType::F16), (30, DType::BF16), (26, DType::I32)];

/// Types that files may have and the engine does not read, so that the error can name them.
const UNREAD: [(u32, &str); 20] = [
    (9, "q8_1"),
    (15, "q8_k"),
    (16, "iq2_xxs"),
    (17, "iq2_xs"),
    (18, "iq3_xxs"),
    (19, "iq1_s"),
    (21, "iq3_s"),
    (22, "iq2_s"),
    (24, "i8"),
    (25, "i16"),
    (27, "i64"),
    (28, "f64"),
    (29, "iq1_m"),
    (31, "q4_0_4_4"),
    (32, "q4_0_4_8"),
    (33, "q4_0_8_8"),
    (34, "tq1_0"),
    (35, "tq2_0"),
    (40, "nvfp4"),
    (41, "q1_0"),
];

/// The type with this number, or a sentence that says which it is and which are read.
pub(super) fn from_number(number: u32) -> Result<DType, String> {
    if let Some((_, dtype)) = PLAIN.iter().find(|(n, _)| *n == number) {
        return Ok(*dtype);
    }
    if let Some(quant) = Quant::from_ggml(number) {
        return Ok(DType::Quant(quant));
    }
    let name = UNREAD.iter().find(|(n, _)| *n == number).map_or("unknown", |(_, name)| name);
    let read: Vec<&str> = PLAIN.iter().map(|(_, dtype)| dtype.name()).chain(formats().map(|f| f.name)).collect();
    Err(format!("element type {number} ({name}), which is not supported; use a file with {}", read.join(", ")))
}

/// The number of a type, or `None` for Booleans, which no GGUF tensor has.
pub(super) fn number(dtype: DType) -> Option<u32> {
    match dtype {
        DType::Quant(quant) => Some(quant.ggml_type),
        _ => PLAIN.iter().find(|(_, d)| *d == dtype).map(|(n, _)| *n),
    }
}
