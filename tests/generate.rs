//! The generate loop over a small model on the definition: the same ids as an independent program, however it is stopped and resumed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use support::{Llama, fixture, read_expected};
use tensorlogic::graph::{
    BinaryOp, CacheIdx, CacheSpec, CompileOptions, Compiled, ExecError, KvType, Op, RuntimeScalar, Sampling, SharedExecutor,
};
use tensorlogic::model::{Finish, GenerateError, Generator, StepPrograms};
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::text::TokenId;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Exec(#[from] ExecError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
}

struct Programs {
    llama: Llama,
    spec: CacheSpec,
    executor: SharedExecutor,
}

impl StepPrograms for Programs {
    type Error = Error;

    fn step(&mut self, n_tokens: usize, _position: usize) -> Result<Arc<Compiled>, Error> {
        let bucket = n_tokens.next_power_of_two();
        let mut step = self.llama.step(bucket, self.spec.n_positions());
        let g = &mut step.graph;
        let count = g.runtime_scalar(RuntimeScalar::TokenCount);
        let one = g.literal_i32(1);
        let last = g.binary(BinaryOp::Sub, count, one).unwrap();
        let row = g.add(Op::SelectRow, &[step.logits, last]).unwrap();
        let settings = g.run_sampling();
        let position = g.runtime_scalar(RuntimeScalar::Position(CacheIdx(0)));
        let next = g.binary(BinaryOp::Add, position, count).unwrap();
        let id = g.sample(row, settings, next, Some(CacheIdx(0))).unwrap();
        let options = CompileOptions { fuse: true, caches: vec![self.spec] };
        let (graph, outputs) = g.subgraph(&[id]);
        let program = self.executor.lock().compile(&graph, &outputs, &options)?;
        Ok(Arc::new(Compiled::new(program, bucket, graph.literals().to_vec())))
    }
}

fn generator(window: usize, chunk: usize) -> (Generator<Programs>, Vec<TokenId>, Vec<u32>) {
    let llama = Llama::open(&fixture("tiny-f32.gguf"));
    let expected = read_expected(&fixture("tiny-f32.safetensors"));
    let spec = llama.cache(window, 16, 4, KvType::F32);
    let executor = SharedExecutor::new(ReferenceExecutor::new());
    let programs = Programs { llama, spec, executor: executor.clone() };
    let prompt = expected["tokens"].as_i32().unwrap().iter().map(|&id| TokenId(id as u32)).collect();
    let greedy = expected["greedy"].as_i32().unwrap().iter().map(|&id| id as u32).collect();
    (Generator::new(executor, programs, spec, chunk).unwrap(), prompt, greedy)
}

/// Generates up to `max` tokens after `ids`, breaking off after `stop_after`.
fn run(generator: &mut Generator<Programs>, ids: &[TokenId], max: usize, stop_after: usize) -> (Finish, Vec<u32>) {
    let mut given = Vec::new();
    let (finish, timing) = generator
        .generate(
            ids,
            Sampling::default(),
            max,
            |_| false,
            |_| ControlFlow::Continue(()),
            |id| {
                given.push(id.0);
                if given.len() == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        )
        .unwrap();
    assert_eq!(timing.decode_tokens, given.len());
    (finish, given)
}

#[test]
fn greedy_ids_equal_the_exact_ones_whatever_the_chunk() {
    for chunk in [1, 3, 16] {
        let (mut generator, prompt, greedy) = generator(128, chunk);
        assert_eq!(run(&mut generator, &prompt, 48, usize::MAX), (Finish::Length, greedy), "chunk {chunk}");
    }
}

/// Every token that was given is either in the context or the next to be fed: a stop loses nothing and invents nothing.
#[test]
fn a_stopped_generation_goes_on_as_if_it_had_not_stopped() {
    for stop_after in 1..5 {
        let (mut generator, prompt, greedy) = generator(128, 16);
        let (finish, first) = run(&mut generator, &prompt, 48, stop_after);
        assert_eq!((finish, &first[..]), (Finish::Interrupted, &greedy[..stop_after]));
        let mut all = prompt.clone();
        all.extend(first.iter().map(|&id| TokenId(id)));
        let held = generator.context().common_prefix(&all);
        assert_eq!(held, generator.context().position(), "the context holds nothing else");
        assert!(all.len() - held <= 1);
        // What the context lacks is fed; where it lacks nothing, its last token is fed again.
        let keep = held.min(all.len() - 1);
        generator.context_mut().rewind_to(keep);
        let (_, rest) = run(&mut generator, &all[keep..], 48 - stop_after, usize::MAX);
        assert_eq!(rest, greedy[stop_after..], "stopped after {stop_after}");
    }
}

#[test]
fn a_seed_gives_the_same_text_again_and_another_seed_another() {
    let sampled = |seed: u32| {
        let (mut generator, prompt, _) = generator(128, 16);
        let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
        let mut given = Vec::new();
        let on_token = |id: TokenId| {
            given.push(id.0);
            ControlFlow::Continue(())
        };
        generator.generate(&prompt, sampling, 20, |_| false, |_| ControlFlow::Continue(()), on_token).unwrap();
        given
    };
    assert_eq!(sampled(1), sampled(1));
    assert_ne!(sampled(1), sampled(2));
}

#[test]
fn an_empty_prompt_is_an_error() {
    let (mut generator, _, _) = generator(128, 16);
    let result = generator.generate(&[], Sampling::default(), 1, |_| false, |_| ControlFlow::Continue(()), |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(Error::Generate(GenerateError::EmptyPrompt))));
}
