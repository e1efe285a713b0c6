//! A chat template, parsed and rendered in each way that a chat does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tensorlogic::text::{ChatTemplate, Message, RenderContext};

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::from_source(source) else { return };
    let messages = [Message::new("system", "Be brief."), Message::new("user", "a {{ b }}"), Message::new("assistant", "<think>c</think> d")];
    let context = RenderContext { add_generation_prompt: true, bos_token: Some("<s>".to_owned()), ..RenderContext::default() };
    let _ = template.render(&messages, &context);
    let _ = template.render_prompt(&messages, &context);
});
