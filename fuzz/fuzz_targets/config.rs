//! The configuration files of a Hugging Face folder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tensorlogic::format::hf::metadata_from_json;

fuzz_target!(|bytes: &[u8]| {
    let _ = metadata_from_json(bytes, Some(bytes), Some(bytes));
});
