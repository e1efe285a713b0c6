//! A GGUF file from its magic to its data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tensorlogic::format::Gguf;

fuzz_target!(|bytes: &[u8]| {
    let Ok(gguf) = Gguf::from_bytes("fuzz.gguf", bytes.to_vec()) else { return };
    for (_, value) in gguf.metadata.iter() {
        if let Some(strings) = value.as_array().and_then(|a| a.strs()) {
            strings.count();
        }
    }
    for tensor in gguf.tensors.tensors() {
        let _ = gguf.tensors.check_finite(tensor);
    }
});
