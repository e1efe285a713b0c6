//! Two thousand turns of a chat: the last hundred cost no more than the first hundred, and memory stays flat.
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

fn load(file: ModelFile, window: Option<usize>) -> LoadedModel {
    let backend = Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() }).unwrap();
    LoadedModel::from_file(file, &backend, &LoadRequest { window, ..LoadRequest::default() }).unwrap()
}

/// The median time of some turns, and the most tokens that one of them fed.
fn turns(session: &mut ChatSession<ModelSteps>, n: usize) -> (Duration, usize) {
    let mut times = Vec::new();
    let mut fed = 0;
    for _ in 0..n {
        let start = Instant::now();
        let answer = session.ask("the and the", |_| ControlFlow::Continue(())).unwrap();
        fed = fed.max(answer.timing.prefill_tokens);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    (times[n / 2], fed)
}

/// Bytes of memory that the process holds, where the system says so.
fn resident_bytes() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<usize>().ok()? * 4096)
}

fn main() {
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-f32.gguf");
    for model in [load(ModelFile::open(tiny.as_ref(), false).unwrap(), Some(256)), load(demo::open().unwrap(), None)] {
        let settings = ChatSettings { sampling: Sampling::default(), max_tokens: 16 };
        let mut session = model.chat(None, settings, None).unwrap();
        // The window fills in the first turns.
        turns(&mut session, PART);
        let (first, fed_first) = turns(&mut session, PART);
        let bytes_first = resident_bytes();
        turns(&mut session, 1700);
        let (last, fed_last) = turns(&mut session, PART);
        let bytes_last = resident_bytes();
        let mb = |bytes: Option<usize>| bytes.map_or("?".to_owned(), |b| (b >> 20).to_string());
        println!("{}: {first:?} a turn, then {last:?}; {} MB, then {} MB", model.config.name, mb(bytes_first), mb(bytes_last));
        assert!(fed_last <= fed_first + 4, "{fed_first} tokens fed, then {fed_last}");
        assert!(last <= first + first / 10, "{first:?} a turn, then {last:?}");
        // The messages themselves are kept, for `/save`: some hundred bytes a turn.
        if let Some((first, last)) = bytes_first.zip(bytes_last) {
            assert!(last <= first + (8 << 20), "{first} bytes, then {last}");
        }
    }
}
