//! Several prompts decoded together: a run holds the next token of each, and reads the weights once for all of them.
//!
//! ```console
//! $ cargo run --release --example batch
//! Hello
//! > Hello! How can I help you today?
//! What can you do?
//! > I can chat a little, explain `tl` and words such as tensor or KV cache, add and subtract small numbers, remember your name and tell short stories.
//! What is 2 plus 3?
//! > 2 + 3 = 5.
//! ```
//!
//! With a path it takes that model, a GGUF file or a Hugging Face folder: `cargo run --release --example batch -- model.gguf`.

#![allow(clippy::print_stdout, reason = "an example shows what it gets")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use tensorlogic::engine::{Backend, DeviceRequest, LoadRequest, LoadedModel, demo};
use tensorlogic::graph::Sampling;
use tensorlogic::model::{Event, Request, SequenceId};
use tensorlogic::text::{Message, RenderContext, TokenId};

const QUESTIONS: [&str; 3] = ["Hello", "What can you do?", "What is 2 plus 3?"];

fn main() -> Result<(), Box<dyn Error>> {
    // The best GPU, or the CPU where there is none.
    let backend = Backend::open(&DeviceRequest::default())?;
    let request = LoadRequest::default();
    let model = match std::env::args().nth(1) {
        Some(path) => LoadedModel::open(Path::new(&path), &backend, &request)?,
        None => LoadedModel::from_file(demo::open()?, &backend, &request)?,
    };
    let (tokenizer, template) = (model.tokenizer()?, model.template()?);
    let mut scheduler = model.scheduler(QUESTIONS.len())?;
    let mut answers: BTreeMap<SequenceId, Vec<TokenId>> = BTreeMap::new();
    for question in QUESTIONS {
        let prompt = template.render_prompt(&[Message::new("user", question)], &RenderContext::for_tokenizer(&tokenizer))?;
        let ids = tokenizer.encode_chat(&prompt.text, &prompt.messages);
        // Greedy. A prompt may join while others decode; here all begin at once.
        let request = Request { ids, sampling: Sampling::default(), max_tokens: 64, ends: tokenizer.eog_ids() };
        answers.insert(scheduler.add(request)?, Vec::new());
    }
    // A step starts the next run and gives what an earlier one brought. Nothing is borrowed in between.
    while !scheduler.is_empty() {
        for event in scheduler.step()? {
            match event {
                Event::Token { sequence, id } => answers.entry(sequence).or_default().push(id),
                Event::Failed { reason, .. } => return Err(reason.to_string().into()),
                Event::End { .. } => {}
            }
        }
    }
    for (question, ids) in QUESTIONS.iter().zip(answers.values()) {
        println!("{question}\n> {}", tokenizer.decode(ids).trim());
    }
    Ok(())
}
