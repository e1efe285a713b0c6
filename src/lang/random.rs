//! The stream of seeds from which random functions without a seed of their own take the next.

use super::interp::Interp;
use super::value::Fault;

/// Seeds one after the other. No two of 2^32 in turn are equal, and a stream of another seed starts far away.
#[derive(Clone, Copy, Debug)]
pub struct RandomStream {
    next: u32,
}

impl RandomStream {
    pub fn new(seed: u32) -> RandomStream {
        RandomStream { next: mixed(seed) }
    }

    fn take(&mut self) -> u32 {
        let seed = mixed(self.next);
        self.next = self.next.wrapping_add(1);
        seed
    }
}

/// One-to-one on 32 bits, so that different counts give different seeds: the last step of MurmurHash3, by Austin Appleby.
fn mixed(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x85eb_ca6b);
    x ^= x >> 13;
    x = x.wrapping_mul(0xc2b2_ae35);
    x ^ x >> 16
}

impl Interp {
    /// The next seed of the stream.
    ///
    /// # Errors
    /// While a model is traced: its `forward` is run many times from one trace, with the numbers of that trace.
    pub(super) fn next_seed(&mut self) -> Result<u32, Fault> {
        if self.session.trace.is_some() {
            let fault = Fault::new("every run of a model's `forward`, which is traced once for many, would draw the same numbers");
            return Err(fault.hint("write `seed: 1` where that is meant, or draw above `forward`"));
        }
        Ok(self.random.take())
    }
}
