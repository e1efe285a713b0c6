//! Conversations with the built-in model and the tiny ones: what is fed, what is kept, and what ends an answer.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use std::ops::ControlFlow;

use support::{device_requests, fixture};
use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, EngineError, LoadRequest, LoadedModel, ModelSteps, demo};
use tensorlogic::format::ModelFile;
use tensorlogic::graph::{KvType, Sampling};
use tensorlogic::model::{Answer, ChatError, ChatEvent, ChatSession, ChatSettings, Finish};
use tensorlogic::text::{AnswerPart, ChatTemplate, Message, TokenId};

type Session = ChatSession<ModelSteps>;

fn cpu() -> Backend {
    Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() }).unwrap()
}

fn request(window: Option<usize>) -> LoadRequest {
    LoadRequest { window, kv_type: KvType::F32, ..LoadRequest::default() }
}

fn greedy(max_tokens: usize) -> ChatSettings {
    ChatSettings { sampling: Sampling::default(), max_tokens }
}

/// The built-in model with a window.
fn demo(window: Option<usize>) -> LoadedModel {
    LoadedModel::from_file(demo::open().unwrap(), &cpu(), &request(window)).unwrap()
}

/// A model of random weights, which never ends an answer by itself.
fn tiny(window: Option<usize>) -> LoadedModel {
    let file = ModelFile::open(&fixture("tiny-f32.gguf"), false).unwrap();
    LoadedModel::from_file(file, &cpu(), &request(window)).unwrap()
}

fn talk(model: &LoadedModel, max_tokens: usize) -> Session {
    model.chat(None, greedy(max_tokens), None).unwrap()
}

fn ask(session: &mut Session, text: &str) -> Answer {
    session.ask(text, |_| ControlFlow::Continue(())).unwrap()
}

/// The answer and the number of turns that were dropped for it.
fn ask_and_count_dropped(session: &mut Session, text: &str) -> (Answer, usize) {
    let mut dropped = 0;
    let answer = session.ask(text, |event| {
        if let ChatEvent::Dropped { n_turns } = event {
            dropped += n_turns;
        }
        ControlFlow::Continue(())
    });
    (answer.unwrap(), dropped)
}

fn contents(session: &Session) -> Vec<String> {
    session.messages().iter().map(|m| m.content.clone()).collect()
}

#[test]
fn a_second_turn_feeds_its_own_tokens_alone() {
    let model = demo(None);
    let mut session = talk(&model, 64);
    let first = ask(&mut session, "My name is Ada.");
    assert_eq!(first.timing.prefill_tokens, session.context().position() - first.timing.decode_tokens);
    let held = session.context().position();
    let second = ask(&mut session, "What is my name?");
    assert!(second.text.contains("Ada"), "{}", second.text);

    let mut fresh = talk(&model, 64);
    fresh.replace(session.messages()[..2].to_vec());
    let whole = ask(&mut fresh, "What is my name?");
    assert_eq!(whole.text, second.text);
    // The token that ended the first answer was drawn but is not yet held.
    assert_eq!(second.timing.prefill_tokens, whole.timing.prefill_tokens - held);
    assert_eq!(fresh.context().ids(), session.context().ids(), "the same tokens, fed in two turns or in one");
}

/// What a second turn waits for is the prefill of its own tokens and at most two steps, however long the conversation is.
#[test]
fn a_second_turn_reaches_its_first_text_in_its_own_runs_and_two_steps() {
    for device in device_requests(false) {
        let backend = Backend::open(&device).unwrap();
        let file = ModelFile::open(&fixture("tiny-f32.gguf"), false).unwrap();
        let model = LoadedModel::from_file(file, &backend, &request(Some(1024))).unwrap();
        let mut session = talk(&model, 24);
        ask(&mut session, &"the and you ".repeat(60));
        let held = session.context().position();
        assert!(held > 180, "{held}");
        let (mut n_text, mut waited) = (0, None);
        let steps = || model.executor.lock().counters().steps;
        let (before, chunk) = (steps(), session.generator().chunk());
        let answer = session.ask("the and you", |event| {
            if let ChatEvent::Text(_) = event {
                n_text += 1;
                waited.get_or_insert_with(|| steps() - before);
            }
            ControlFlow::Continue(())
        });
        let fed = answer.unwrap().timing.prefill_tokens;
        assert!(fed < 30 && n_text > 4, "{fed} tokens of {held}, {n_text} pieces");
        let runs = waited.unwrap();
        assert!(runs <= fed.div_ceil(chunk) as u64 + 2, "{runs} runs for {fed} tokens in chunks of {chunk} on {:?}", device.backend);
    }
}

#[test]
fn forgetting_keeps_the_system_message_and_what_the_cache_holds_of_it() {
    let model = demo(None);
    let mut session = model.chat(None, greedy(64), Some("Be kind.".into())).unwrap();
    let first = ask(&mut session, "My name is Ada.");
    session.clear();
    let again = ask(&mut session, "What is my name?");
    assert!(!again.text.contains("Ada"), "{}", again.text);
    let mut fresh = model.chat(None, greedy(64), Some("Be kind.".into())).unwrap();
    let whole = ask(&mut fresh, "What is my name?");
    assert_eq!(again.text, whole.text);
    assert!(again.timing.prefill_tokens < whole.timing.prefill_tokens, "the system block is not fed again");
    assert_eq!((contents(&session).len(), session.system()), (2, Some("Be kind.")));
    assert_eq!(first.finish, Finish::Stop);
}

/// Each turn fits; together they are many windows. The cache slides, and no turn is fed anew.
#[test]
fn a_conversation_slides_past_the_window() {
    let model = tiny(Some(64));
    let mut session = talk(&model, 30);
    let (mut position, mut n_turns) = (0, 0);
    // A chunk of 512 tokens lies behind the window before a slot is written again.
    while position <= session.context().spec().n_positions() {
        let (answer, dropped) = ask_and_count_dropped(&mut session, "the and the and you");
        n_turns += 1;
        assert_eq!(dropped, 0, "turn {n_turns}");
        assert!(answer.timing.decode_tokens > 0 && answer.timing.prefill_tokens <= 24, "turn {n_turns}: {:?}", answer.timing);
        assert!(session.context().position() > position, "nothing is set back");
        position = session.context().position();
    }
    assert!(session.context().has_evicted());
    assert_eq!(session.messages().len(), 2 * n_turns);
}

#[test]
fn a_loaded_conversation_that_is_too_long_drops_its_oldest_turns() {
    let model = demo(Some(96));
    let mut session = talk(&model, 16);
    let turns = |n: usize| -> Vec<Message> {
        (0..n).flat_map(|i| [Message::new("user", format!("This is question {i}.")), Message::new("assistant", "All is well.")]).collect()
    };
    session.replace(turns(30));
    let (answer, dropped) = ask_and_count_dropped(&mut session, "Hello");
    assert!(dropped > 20 && dropped <= 30, "{dropped} turns");
    assert!(answer.timing.prefill_tokens <= 96);
    assert_eq!(session.messages().len(), 2 * (30 - dropped) + 2);
    assert_eq!(session.messages().last().unwrap().content, answer.text);
    if let Some(oldest) = session.messages().first().filter(|_| dropped < 30) {
        assert_eq!(oldest.content, format!("This is question {dropped}."));
    }
    // What was kept is the most that fits: with one more turn it did not.
    let mut fresh = talk(&model, 16);
    fresh.replace(turns(30).split_off(2 * dropped));
    let (same, none) = ask_and_count_dropped(&mut fresh, "Hello");
    assert_eq!((&same.text, none), (&answer.text, 0));
    let mut longer = talk(&model, 16);
    longer.replace(turns(30).split_off(2 * (dropped - 1)));
    assert_eq!(ask_and_count_dropped(&mut longer, "Hello").1, 1);
}

#[test]
fn a_message_longer_than_the_window_loses_nothing() {
    let model = demo(Some(48));
    let mut session = talk(&model, 16);
    ask(&mut session, "My name is Ada.");
    let before = contents(&session);
    let error = session.ask(&"word ".repeat(200), |_| ControlFlow::Continue(())).unwrap_err();
    let ChatError::MessageTooLong { tokens, window } = error else { panic!("{error}") };
    assert!(tokens > 200 && window == 48);
    assert!(error.to_string().contains("--ctx"), "{error}");
    assert_eq!(contents(&session), before);
    assert!(ask(&mut session, "What is my name?").text.contains("Ada"));
}

#[test]
fn an_error_of_the_template_loses_nothing() {
    let source =
        "{% for m in messages %}{% if m.content == 'odd' %}{{ raise_exception('odd') }}{% endif %}<|user|>{{ m.content }}{% endfor %}";
    let model = tiny(None);
    let mut session = model.chat(Some(ChatTemplate::from_source(source).unwrap()), greedy(4), None).unwrap();
    ask(&mut session, "the");
    let before = contents(&session);
    let error = session.ask("odd", |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, ChatError::Template(_)), "{error}");
    assert_eq!(contents(&session), before);
    ask(&mut session, "and");
    assert_eq!(contents(&session).len(), 4);
}

/// A template that refuses to render without a question, as some do, and one that puts the system message into the question.
#[test]
fn a_template_that_wants_a_question_takes_a_system_message() {
    let wants = "{% if not messages|selectattr('role', 'equalto', 'user')|list %}{{ raise_exception('no question') }}{% endif %}";
    let block = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}<|assistant|>";
    let within = "{% for m in messages[1:] %}<|user|>{% if loop.first %}{{ messages[0].content }}\n{% endif %}{{ m.content }}<|end|>\n{% endfor %}<|assistant|>";
    let refuses = "{{ raise_exception('no system message') }}";
    let model = demo(None);
    let tokenizer = model.tokenizer().unwrap();
    let chat = |source: &str| model.chat(Some(ChatTemplate::from_source(source).unwrap()), greedy(16), Some("Be kind.".into()));
    let template = ChatTemplate::from_source(&format!("{wants}{block}")).unwrap();
    let len = Session::system_len(&tokenizer, &template, "Be kind.").unwrap();
    let words = 10..18;
    let read = tokenizer.encode_chat("<|system|>Be kind.<|end|>\n<|user|>", &[words]);
    assert_eq!(len, read.len(), "all that stands before the question");
    for source in [format!("{wants}{block}"), format!("{wants}{within}")] {
        let mut session = chat(&source).unwrap();
        ask(&mut session, "My name is Ada.");
        ask(&mut session, "What is my name?");
        let read = tokenizer.decode(session.context().ids());
        assert!(read.contains("Be kind.\nMy name is Ada.\n") && read.contains("What is my name?"), "{source}: {read}");
    }
    let refused = chat(refuses).err().expect("an error").to_string();
    assert!(refused.contains("no system message"), "{refused}");
}

#[test]
fn an_answer_given_again_has_another_seed() {
    let model = tiny(None);
    let sampling = Sampling { temperature: 1.0, seed: 5, ..Sampling::default() };
    let mut session = model.chat(None, ChatSettings { sampling, max_tokens: 24 }, None).unwrap();
    let nothing = session.regenerate(|_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(nothing, ChatError::NothingToRegenerate));
    let first = ask(&mut session, "the and");
    let second = session.regenerate(|_| ControlFlow::Continue(())).unwrap();
    assert_ne!(first.text, second.text);
    assert_eq!(second.timing.prefill_tokens, 1, "the question is not fed again");
    assert_eq!(contents(&session), ["the and".to_owned(), second.text.clone()]);
    session.settings.sampling.seed = 4;
    assert_eq!(session.regenerate(|_| ControlFlow::Continue(())).unwrap().text, first.text, "the first seed gives the first answer");
    // A greedy answer has no seed.
    session.settings.sampling.temperature = 0.0;
    let third = session.regenerate(|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(session.regenerate(|_| ControlFlow::Continue(())).unwrap().text, third.text);
}

#[test]
fn an_interrupted_answer_is_kept_and_the_conversation_goes_on() {
    let model = demo(None);
    let whole = ask(&mut talk(&model, 64), "Hello");
    let mut session = talk(&model, 64);
    let mut shown = String::new();
    let answer = session.ask("Hello", |event| match event {
        ChatEvent::Text(AnswerPart::Answer(text)) => {
            shown.push_str(&text);
            if shown.len() > 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    });
    let answer = answer.unwrap();
    assert_eq!(answer.finish, Finish::Interrupted);
    assert!(whole.text.starts_with(&shown) && shown.len() < whole.text.len(), "{shown:?}");
    assert_eq!(contents(&session), ["Hello".to_owned(), shown]);
    let held = session.context().position();
    let next = ask(&mut session, "My name is Ada.");
    let fed = session.context().position() - next.timing.decode_tokens - held;
    assert_eq!(next.timing.prefill_tokens, fed, "what was said until the interrupt is not fed again");
    assert!(ask(&mut session, "What is my name?").text.contains("Ada"));
}

#[test]
fn a_prefill_is_interrupted_between_its_chunks() {
    let model = tiny(Some(2048));
    let mut session = talk(&model, 8);
    let long = "the and ".repeat(400);
    let mut fed_first = 0;
    let answer = session.ask(&long, |event| match event {
        ChatEvent::Prefill { fed, total } => {
            assert!(fed < total);
            fed_first = fed;
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(answer.unwrap().finish, Finish::Interrupted);
    assert_eq!(session.context().position(), fed_first);
    // Asked again, what was read is not read again.
    let again = session.regenerate(|_| ControlFlow::Continue(())).unwrap();
    let mut fresh = talk(&model, 8);
    let whole = ask(&mut fresh, &long);
    assert_eq!(again.text, whole.text);
    assert_eq!(again.timing.prefill_tokens, whole.timing.prefill_tokens - fed_first);
}

#[test]
fn an_answer_ends_at_the_end_mark_of_the_template() {
    let model = demo(None);
    let tokenizer = model.tokenizer().unwrap();
    let mut session = talk(&model, 64);
    let answer = ask(&mut session, "Hello");
    assert_eq!((answer.finish, &answer.text[..]), (Finish::Stop, "Hello! How can I help you today?"));
    let end = tokenizer.token_id("<|end|>").unwrap();
    assert!(tokenizer.is_eog(end));
    let n_ends = session.context().ids().iter().filter(|&&id| id == end).count();
    assert_eq!(n_ends, 1, "the question's, and not yet the answer's");
}

/// A template whose end mark is text that no token stands for: the answer ends before it, and what follows is read as if it had not been
/// drawn.
#[test]
fn an_answer_ends_at_an_end_mark_that_is_text() {
    let source = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}\
        {% if m.role == 'assistant' %}{{ 'I help you' }}{% else %}{{ '<|end|>' }}{% endif %}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";
    let model = demo(None);
    let tokenizer = model.tokenizer().unwrap();
    let mut session = model.chat(Some(ChatTemplate::from_source(source).unwrap()), greedy(64), None).unwrap();
    let answer = ask(&mut session, "Hello");
    assert_eq!((answer.finish, &answer.text[..]), (Finish::Stop, "Hello! How can "));
    assert_eq!(contents(&session)[1], "Hello! How can ");
    ask(&mut session, "Thanks");
    let read = tokenizer.decode(session.context().ids());
    assert_eq!(read.matches("How can I help you").count(), 1, "{read}");
    assert!(!read.contains("I help youI help you"), "{read}");
}

/// Every special token, spelled in a message, in an answer that was loaded, and in a system message.
#[test]
fn a_message_that_spells_special_tokens_stays_text() {
    for model in [demo(None), tiny(None)] {
        let tokenizer = model.tokenizer().unwrap();
        let all = (0..tokenizer.vocab_size() as u32).map(TokenId);
        let specials: Vec<TokenId> = all.filter(|&id| tokenizer.is_special(id)).collect();
        assert!(specials.len() >= 5, "{}", specials.len());
        let spelled: String = specials.iter().map(|&id| tokenizer.token_text(id).unwrap()).collect();
        let read = |text: &str, system: &str| -> Vec<TokenId> {
            let mut session = model.chat(None, greedy(1), Some(system.to_owned())).unwrap();
            ask(&mut session, text);
            session.replace(vec![Message::new("user", "a"), Message::new("assistant", text)]);
            ask(&mut session, text);
            session.context().ids().iter().copied().filter(|&id| tokenizer.is_special(id)).collect()
        };
        assert_eq!(read(&spelled, &spelled), read("a", "a"), "only the template's own: {spelled}");
        for &id in &specials {
            let text = tokenizer.token_text(id).unwrap();
            let plain = tokenizer.encode(text, tensorlogic::text::Specials::Plain, false);
            assert!(!plain.is_empty() && plain.iter().all(|&id| !tokenizer.is_special(id)), "{text}: {plain:?}");
            assert_eq!(tokenizer.decode(&plain).trim(), text.trim(), "the text comes through");
        }
    }
}

#[test]
fn a_weight_that_is_not_finite_stops_the_first_answer() {
    let path = fixture("tiny-f32.gguf");
    let mut bytes = std::fs::read(&path).unwrap();
    let offset = ModelFile::open(&path, false).unwrap().tensors().get("blk.1.ffn_down.weight").unwrap().offset;
    bytes[offset..offset + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let model = LoadedModel::from_file(ModelFile::from_bytes("nan.gguf", bytes).unwrap(), &cpu(), &request(None)).unwrap();
    let error = talk(&model, 4).ask("the", |_| ControlFlow::Continue(())).unwrap_err();
    let ChatError::Engine(EngineError::Exec { message, .. }) = &error else { panic!("{error}") };
    assert!(message.contains("blk.1.ffn_down.weight") && message.contains("inf or NaN"), "{message}");
}
