//! The `tokenizer.json` of a Hugging Face folder, and a text through what it describes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tensorlogic::text::tokenizer::JsonSpecials;
use tensorlogic::text::{Specials, Tokenizer};

fuzz_target!(|bytes: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_json(bytes, &JsonSpecials::default()) else { return };
    let ids = tokenizer.encode("It's 12 tests,\n\u{00c4}pfel \u{6771}\u{4eac} <s> a\u{301}", Specials::Parsed, true);
    tokenizer.decode(&ids);
});
