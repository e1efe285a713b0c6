//! Drafts change how fast tokens come, and none of them.

use std::ops::ControlFlow;

use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, EngineError, LoadRequest, LoadedModel, ModelSteps, demo};
use tensorlogic::graph::{KvType, Sampling};
use tensorlogic::model::{Drafter, Finish, Generator, ModelError, NgramDrafter, Timing};
use tensorlogic::text::{Message, RenderContext, TokenId};

use crate::support::{device_requests, fixture};

/// One thread: these models are too small for more.
fn cpu() -> DeviceRequest {
    DeviceRequest { backend: BackendChoice::Cpu, threads: Some(1), ..DeviceRequest::default() }
}

fn devices() -> Vec<DeviceRequest> {
    device_requests(false).into_iter().map(|device| DeviceRequest { threads: Some(1), ..device }).collect()
}

fn tiny(device: &DeviceRequest, name: &str, window: usize) -> LoadedModel {
    let load = LoadRequest { window: Some(window), sinks: Some(4), kv_type: KvType::F32, ..LoadRequest::default() };
    LoadedModel::open(&fixture(name), &Backend::open(device).unwrap(), &load).unwrap()
}

fn built_in(device: &DeviceRequest) -> LoadedModel {
    LoadedModel::from_file(demo::open().unwrap(), &Backend::open(device).unwrap(), &LoadRequest::default()).unwrap()
}

/// Greedy, drawn, and drawn with a penalty, in turn.
fn sampling(i: usize) -> Sampling {
    match i % 3 {
        0 => Sampling::default(),
        1 => Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, seed: i as u32, ..Sampling::default() },
        _ => Sampling { temperature: 1.1, repeat_penalty: 1.2, repeat_last_n: 32, seed: i as u32, ..Sampling::default() },
    }
}

/// What a generation gave.
#[derive(Debug)]
struct Given {
    ids: Vec<u32>,
    finish: Finish,
    timing: Timing,
}

/// Generates from an empty context; a token of `ends` ends it, and so does the caller after `stop_after` tokens.
fn generate(
    generator: &mut Generator<ModelSteps>,
    prompt: &[TokenId],
    sampling: Sampling,
    (max_tokens, stop_after): (usize, usize),
    ends: &[TokenId],
) -> Given {
    generator.context_mut().clear();
    let mut ids = Vec::new();
    let on_token = |id: TokenId| {
        ids.push(id.0);
        if ids.len() == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let (finish, timing) =
        generator.generate(prompt, sampling, max_tokens, |id| ends.contains(&id), |_| ControlFlow::Continue(()), on_token).unwrap();
    Given { ids, finish, timing }
}

fn all(generator: &mut Generator<ModelSteps>, prompt: &[TokenId], i: usize, n: usize, ends: &[TokenId]) -> Given {
    generate(generator, prompt, sampling(i), (n, usize::MAX), ends)
}

/// Drafts what is given in turn: every right token and now and then a wrong one.
struct Scripted {
    /// What an answer without drafts is, prompt included.
    whole: Vec<u32>,
    /// Each so many-eth draft is wrong.
    wrong_each: usize,
    n_drafted: usize,
}

impl Drafter<EngineError> for Scripted {
    fn draft(&mut self, ids: &[TokenId], _: Sampling, n: usize) -> Result<Vec<TokenId>, EngineError> {
        let right = self.whole.iter().skip(ids.len()).take(n).copied().collect::<Vec<u32>>();
        let drafted = right.into_iter().map(|id| {
            self.n_drafted += 1;
            TokenId(if self.n_drafted.is_multiple_of(self.wrong_each) { id ^ 1 } else { id })
        });
        Ok(drafted.collect())
    }
}

fn tiny_prompt(i: usize) -> Vec<TokenId> {
    let len = 1 + i % 23;
    (0..len).map(|t| TokenId(1 + ((i * 131 + t * 17 + t * t * 3) % 250) as u32)).collect()
}

/// The prompt of a question to the built-in model.
fn question(model: &LoadedModel, i: usize) -> Vec<TokenId> {
    let words = ["tensor", "KV cache", "gradient", "token", "matrix", "GPU", "story", "window", "name", "softmax"];
    let text = match i % 5 {
        0 => format!("What is a {}?", words[i / 5 % 10]),
        1 => format!("What is {} plus {}?", i % 7, i / 7 % 9),
        2 => format!("Tell me about {} and {}.", words[i % 10], words[i / 3 % 10]),
        3 => format!("Say {} {} {} again and again.", words[i / 2 % 10], words[i % 10], words[i / 2 % 10]),
        _ => format!("My name is {}. What is my name?", words[i / 5 % 10]),
    };
    let tokenizer = model.tokenizer().unwrap();
    let prompt =
        model.template().unwrap().render_prompt(&[Message::new("user", &text)], &RenderContext::for_tokenizer(&tokenizer)).unwrap();
    tokenizer.encode_chat(&prompt.text, &prompt.messages)
}

#[test]
fn two_hundred_prompts_give_the_same_tokens_with_drafts() {
    let model = tiny(&cpu(), "tiny-f32.gguf", 64);
    let smaller = tiny(&cpu(), "tiny-q4_0.gguf", 64);
    let (mut alone, mut by_text, mut by_model) = (model.generator(0).unwrap(), model.generator(0).unwrap(), model.generator(0).unwrap());
    by_text.set_drafter(Box::new(NgramDrafter), 4);
    by_model.set_drafter(Box::new(model.drafter(&smaller).unwrap()), 3);
    let mut accepted = [0; 2];
    for i in 0..150 {
        let prompt = tiny_prompt(i);
        let expected = all(&mut alone, &prompt, i, 8, &[]);
        // A smaller model costs as much again, so that it drafts now and then.
        let drafted = [&mut by_text, &mut by_model].into_iter().take(if i % 4 == 0 { 2 } else { 1 });
        for (drafted, accepted) in drafted.zip(&mut accepted) {
            let given = all(drafted, &prompt, i, 8, &[]);
            assert_eq!(given.ids, expected.ids, "prompt {i}");
            *accepted += given.timing.accepted;
        }
    }
    assert!(accepted[0] > 0, "{accepted:?} tokens were drafted rightly");

    let model = built_in(&cpu());
    let ends = model.tokenizer().unwrap().eog_ids();
    let (mut alone, mut by_text, mut by_model) = (model.generator(0).unwrap(), model.generator(0).unwrap(), model.generator(0).unwrap());
    by_text.set_drafter(Box::new(NgramDrafter), 4);
    // It draws the same numbers, so that it is right but where rows of a run and a row alone were to differ.
    by_model.set_drafter(Box::new(model.drafter(&model).unwrap()), 4);
    let mut counts = [(0, 0, 0); 2];
    for i in 0..50 {
        let prompt = question(&model, i);
        let expected = all(&mut alone, &prompt, i, 8, &ends);
        let drafted = [&mut by_text, &mut by_model].into_iter().take(if i % 8 == 0 { 2 } else { 1 });
        for (drafted, count) in drafted.zip(&mut counts) {
            let given = all(drafted, &prompt, i, 8, &ends);
            assert_eq!((given.ids, given.finish), (expected.ids.clone(), expected.finish), "question {i}");
            *count = (count.0 + given.timing.drafted, count.1 + given.timing.accepted, count.2 + given.timing.decode_tokens);
        }
    }
    println!("drafted, accepted and given by the built-in model: {counts:?} by the text and by itself");
    assert!(counts[0].0 > 0, "{counts:?}");
    // Drafts behind an end are drawn and not given.
    assert!(counts[1].1 * 10 > counts[1].0 * 9, "{counts:?}");
}

#[test]
fn drafts_that_are_partly_wrong_change_nothing_on_any_backend() {
    for device in devices() {
        // Past the window, so that pages leave the view while drafts go back.
        let model = tiny(&device, "tiny-f32.gguf", 32);
        for (i, wrong_each, n) in [(0, 3, 4), (1, 2, 7), (2, 5, 7), (3, 1, 4), (4, 1000, 6)] {
            let n_tokens = 50;
            let (mut alone, mut drafted) = (model.generator(0).unwrap(), model.generator(0).unwrap());
            let prompt = tiny_prompt(i + 5);
            let expected = all(&mut alone, &prompt, i, n_tokens, &[]);
            let whole = prompt.iter().map(|id| id.0).chain(expected.ids.iter().copied()).collect();
            drafted.set_drafter(Box::new(Scripted { whole, wrong_each, n_drafted: 0 }), n);
            let given = all(&mut drafted, &prompt, i, n_tokens, &[]);
            assert_eq!(given.ids, expected.ids, "{device:?}, each {wrong_each}th of {n} wrong");
            let Timing { drafted, accepted, .. } = given.timing;
            assert!(drafted > 0 && (accepted == 0) == (wrong_each == 1) && accepted <= drafted, "{accepted} of {drafted}");
            assert!(wrong_each != 1000 || accepted == drafted, "{accepted} of {drafted}");
        }
    }
}

#[test]
fn a_handful_of_questions_has_the_same_answers_on_every_backend() {
    for device in devices() {
        let model = built_in(&device);
        let ends = model.tokenizer().unwrap().eog_ids();
        let (mut alone, mut drafted) = (model.generator(0).unwrap(), model.generator(0).unwrap());
        drafted.set_drafter(Box::new(NgramDrafter), 4);
        for i in 0..4 {
            let prompt = question(&model, i);
            let (expected, given) = (all(&mut alone, &prompt, i, 16, &ends), all(&mut drafted, &prompt, i, 16, &ends));
            assert_eq!((given.ids, given.finish), (expected.ids, expected.finish), "{device:?}, question {i}");
        }
    }
}

/// However a drafted generation is stopped, the context holds what was given and nothing else, and it goes on from there.
#[test]
fn a_drafted_generation_that_was_stopped_goes_on() {
    for device in devices() {
        let model = tiny(&device, "tiny-f32.gguf", 64);
        let prompt = tiny_prompt(9);
        let (mut alone, mut drafted) = (model.generator(0).unwrap(), model.generator(0).unwrap());
        let expected = all(&mut alone, &prompt, 0, 20, &[]).ids;
        let whole: Vec<u32> = prompt.iter().map(|id| id.0).chain(expected.iter().copied()).collect();
        drafted.set_drafter(Box::new(Scripted { whole: whole.clone(), wrong_each: 4, n_drafted: 0 }), 5);
        for stop_after in [1, 2, 3, 5, 8] {
            for by_length in [true, false] {
                let (max_tokens, stop_after) = if by_length { (stop_after, usize::MAX) } else { (20, stop_after) };
                let given = generate(&mut drafted, &prompt, Sampling::default(), (max_tokens, stop_after), &[]);
                let n = max_tokens.min(stop_after);
                assert_eq!(given.ids, expected[..n], "{device:?}");
                assert_eq!(given.finish, if by_length { Finish::Length } else { Finish::Interrupted });
                let held: Vec<u32> = drafted.context().ids().iter().map(|id| id.0).collect();
                assert!(whole[..prompt.len() + n].starts_with(&held) && held.len() + 1 >= prompt.len() + n, "{} ids held", held.len());
                // What the context lacks is fed; where it lacks nothing, its last token is fed again.
                let keep = held.len().min(prompt.len() + n - 1);
                drafted.context_mut().rewind_to(keep);
                let rest: Vec<TokenId> = whole[keep..prompt.len() + n].iter().map(|&id| TokenId(id)).collect();
                let mut more = Vec::new();
                let on_token = |id: TokenId| {
                    more.push(id.0);
                    ControlFlow::Continue(())
                };
                drafted.generate(&rest, Sampling::default(), 20 - n, |_| false, |_| ControlFlow::Continue(()), on_token).unwrap();
                assert_eq!(more, expected[n..], "{device:?}, stopped after {n}");
            }
        }
        // A token that ends the answer ends it among accepted drafts, too; what was drafted behind it is not given.
        for n in [1, 2, 6, 9] {
            let end = expected[n];
            let first = expected.iter().position(|&id| id == end).unwrap();
            let given = generate(&mut drafted, &prompt, Sampling::default(), (20, usize::MAX), &[TokenId(end)]);
            assert_eq!((&given.ids[..], given.finish), (&expected[..first], Finish::Stop), "{device:?}");
            assert!(drafted.context().position() <= prompt.len() + first);
        }
    }
}

#[test]
fn a_model_of_another_vocabulary_drafts_nothing() {
    let (model, other) = (tiny(&cpu(), "tiny-f32.gguf", 64), built_in(&cpu()));
    let error = model.drafter(&other).map(|_| ()).unwrap_err();
    assert!(matches!(&error, EngineError::Model(ModelError::OtherVocabulary(_))), "{error}");
    assert!(error.to_string().contains("draft with a model of the same vocabulary"), "{error}");
}
