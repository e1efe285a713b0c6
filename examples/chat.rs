//! A chat in a program of your own: a message a line on standard input, the answer as it comes.
//!
//! ```console
//! $ echo Hello | cargo run --release --example chat
//! Hello! How can I help you today?
//! $ cargo run --release --example chat -- path/to/model.gguf
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it gets")]

use std::error::Error;
use std::io::{Write, stdin, stdout};
use std::ops::ControlFlow;
use std::path::Path;

use tensorlogic::engine::{Backend, DeviceRequest, LoadRequest, LoadedModel, demo};
use tensorlogic::model::{ChatEvent, ChatSettings};
use tensorlogic::text::AnswerPart;

fn main() -> Result<(), Box<dyn Error>> {
    // The best GPU, or the CPU where there is none.
    let backend = Backend::open(&DeviceRequest::default())?;
    let request = LoadRequest::default();
    let model = match std::env::args().nth(1) {
        Some(path) => LoadedModel::open(Path::new(&path), &backend, &request)?,
        None => LoadedModel::from_file(demo::open()?, &backend, &request)?,
    };
    // The model's own template, no system message. Earlier turns stay in the cache and are not computed again.
    let mut chat = model.chat(None, ChatSettings::default(), None)?;
    for line in stdin().lines() {
        chat.ask(&line?, |event| {
            if let ChatEvent::Text(AnswerPart::Answer(text)) = event {
                print!("{text}");
                // Text that cannot be shown ends the answer.
                if stdout().flush().is_err() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        println!();
    }
    Ok(())
}
