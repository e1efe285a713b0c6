//! A safetensors file, header and data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tensorlogic::format::Safetensors;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Safetensors::from_bytes("fuzz.safetensors", bytes.to_vec()) else { return };
    for tensor in file.tensors.tensors() {
        file.host(&tensor.name);
    }
});
