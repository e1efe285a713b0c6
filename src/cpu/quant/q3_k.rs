//! Q3_K: 256 three-bit quants in 16 sub-blocks of 16, each with a six-bit scale, `(d * (scale - 32)) * (q - 4)`.

use super::q2_k::two_bits_of_128;
use super::{Int8Format, f16_at};
use crate::cpu::isa::for_each_isa;
use crate::tensor::quant::Q3_K;

pub(super) static FORMAT: Int8Format = Int8Format { quant: &Q3_K, sub_len: 16, offset: 4, has_mins: false, unpack, matvecs: &[] };

for_each_isa! {
    fn unpack(blocks: &[u8], quants: &mut [u8], scales: &mut [f32], _mins: &mut [f32]) {
        for (b, block) in blocks.chunks_exact(110).enumerate() {
            let d = f16_at(block, 108);
            let packed = &block[96..108];
            for sub in 0..16 {
                let low = packed[sub % 8] >> (sub / 8 * 4) & 15;
                let high = packed[8 + sub % 4] >> (sub / 4 * 2) & 3;
                scales[b * 16 + sub] = d * (f32::from(low | high << 4) - 32.0);
            }
            let quants = &mut quants[b * 256..][..256];
            for half in 0..2 {
                let quants = &mut quants[half * 128..][..128];
                two_bits_of_128(&block[32 + half * 32..][..32], quants);
                // Bit `group` of a byte is the high bit of that group's value: shifts by constants, which bytes have as vectors.
                for i in 0..32 {
                    let high = if half == 0 { block[i] } else { block[i] >> 4 };
                    quants[i] |= (high & 1) << 2;
                    quants[i + 32] |= (high & 2) << 1;
                    quants[i + 64] |= high & 4;
                    quants[i + 96] |= high >> 1 & 4;
                }
            }
        }
    }
}
