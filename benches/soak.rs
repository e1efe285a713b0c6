//! Two thousand turns of a chat: a turn after 1,900 others costs no more than one after a hundred, and memory stays flat.
//!
//! `cargo bench --bench soak`, without other load. It ends with an error where a bound does not hold.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints what it measured and ends where it cannot go on")]

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, LoadRequest, LoadedModel, ModelSteps, demo};
use tensorlogic::format::ModelFile;
use tensorlogic::graph::Sampling;
use tensorlogic::model::{ChatSession, ChatSettings};

/// Turns of which the median time is taken.
const PART: usize = 100;
/// Turns of the long conversation before them.
const LATE: usize = 1900;

fn load(file: ModelFile, window: Option<usize>) -> LoadedModel {
    let backend = Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() }).unwrap();
    LoadedModel::from_file(file, &backend, &LoadRequest { window, ..LoadRequest::default() }).unwrap()
}

/// The time of a turn, and the tokens that it fed.
fn turn(session: &mut ChatSession<ModelSteps>) -> (Duration, usize) {
    let start = Instant::now();
    let answer = session.ask("the and the", |_| ControlFlow::Continue(())).unwrap();
    (start.elapsed(), answer.timing.prefill_tokens)
}

/// A chat after some turns.
fn chat(model: &LoadedModel, n_turns: usize) -> ChatSession<ModelSteps> {
    let settings = ChatSettings { sampling: Sampling::default(), max_tokens: 16 };
    let mut session = model.chat(None, settings, None).unwrap();
    for _ in 0..n_turns {
        turn(&mut session);
    }
    session
}

/// The median time of turns, and the most tokens that one of them fed.
fn summary(mut turns: Vec<(Duration, usize)>) -> (Duration, usize) {
    turns.sort_unstable();
    (turns[turns.len() / 2].0, turns.iter().map(|&(_, fed)| fed).max().unwrap())
}

/// Bytes of memory that the process holds, where the system says so.
fn resident_bytes() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<usize>().ok()? * 4096)
}

fn main() {
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-f32.gguf");
    for model in [load(ModelFile::open(tiny.as_ref(), false).unwrap(), Some(256)), load(demo::open().unwrap(), None)] {
        // The window fills in the first turns.
        let mut old = chat(&model, PART);
        let bytes_first = resident_bytes();
        for _ in PART..LATE {
            turn(&mut old);
        }
        let bytes_last = resident_bytes();
        // In turn, so that both meet the same load and clock of the machine.
        let mut young = chat(&model, PART);
        let (first, last) = (0..PART).map(|_| (turn(&mut young), turn(&mut old))).unzip();
        let ((first, fed_first), (last, fed_last)) = (summary(first), summary(last));
        let mb = |bytes: Option<usize>| bytes.map_or("?".to_owned(), |b| (b >> 20).to_string());
        let (mb_first, mb_last) = (mb(bytes_first), mb(bytes_last));
        println!("{}: {first:?} a turn after {PART}, {last:?} after {LATE}; {mb_first} MB, then {mb_last} MB", model.config.name);
        assert!(fed_last <= fed_first + 4, "{fed_first} tokens fed, then {fed_last}");
        assert!(last <= first + first / 10, "{first:?} a turn after {PART}, then {last:?}");
        // The messages themselves are kept, for `/save`: some hundred bytes a turn.
        if let Some((first, last)) = bytes_first.zip(bytes_last) {
            assert!(last <= first + (8 << 20), "{first} bytes, then {last}");
        }
    }
}
