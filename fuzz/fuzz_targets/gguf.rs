//! A GGUF file from its magic to its data, and what is made of its metadata: configuration, vocabulary, sampling parameters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tensorlogic::format::{Gguf, ModelFile};
use tensorlogic::model::ModelConfig;
use tensorlogic::text::{SamplingOverrides, Specials, Tokenizer};

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
    let Ok(file) = ModelFile::from_bytes("fuzz.gguf", bytes.to_vec()) else { return };
    let _ = ModelConfig::from_file(&file);
    let _ = SamplingOverrides::from_metadata(file.metadata());
    if let Ok(tokenizer) = Tokenizer::from_model(&file) {
        let ids = tokenizer.encode("It's 12 tests,\n\u{00c4}pfel \u{6771}\u{4eac} <s> a\u{301}", Specials::Parsed, true);
        tokenizer.decode(&ids);
    }
});
