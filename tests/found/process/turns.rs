//! Conversations of many turns: each costs what is new in it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, LoadRequest, LoadedModel, ModelSteps, demo};
use tensorlogic::format::ModelFile;
use tensorlogic::graph::{KvType, Sampling};
use tensorlogic::model::{Answer, ChatSession, ChatSettings};
use tensorlogic::text::ChatTemplate;

use crate::support::fixture;

fn load(file: ModelFile, window: Option<usize>) -> LoadedModel {
    let backend = Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, ..DeviceRequest::default() }).unwrap();
    LoadedModel::from_file(file, &backend, &LoadRequest { window, kv_type: KvType::F32, ..LoadRequest::default() }).unwrap()
}

fn tiny(window: usize) -> LoadedModel {
    load(ModelFile::open(&fixture("tiny-f32.gguf"), false).unwrap(), Some(window))
}

fn talk(model: &LoadedModel, template: Option<&str>, max_tokens: usize, system: Option<&str>) -> ChatSession<ModelSteps> {
    let settings = ChatSettings { sampling: Sampling::default(), max_tokens };
    let template = template.map(|text| ChatTemplate::from_source(text).unwrap());
    model.chat(template, settings, system.map(str::to_owned)).unwrap()
}

fn ask(session: &mut ChatSession<ModelSteps>, text: &str) -> Answer {
    session.ask(text, |_| ControlFlow::Continue(())).unwrap()
}

/// What was fed in many turns is what the whole conversation is when it is rendered and encoded at once.
#[test]
fn a_long_conversation_is_fed_as_it_is_rendered_at_once() {
    let model = load(demo::open().unwrap(), None);
    let mut session = talk(&model, None, 24, None);
    let questions = ["Hello", "My name is Ada.", "What is my name?", "Thank you", "Hello"];
    for (turn, question) in questions.iter().cycle().take(22).enumerate() {
        ask(&mut session, question);
        // Renderings begin later from the 17th turn on.
        if turn < 16 {
            continue;
        }
        let mut fresh = talk(&model, None, 24, None);
        let n_before = session.messages().len() - 2;
        fresh.replace(session.messages()[..n_before].to_vec());
        ask(&mut fresh, question);
        assert_eq!(fresh.context().ids(), session.context().ids(), "turn {turn}");
    }
}

/// Templates that write a turn by its place: the system message in the first one, the index of each, and the number of all.
#[test]
fn templates_that_depend_on_the_place_of_a_message_are_rendered_whole() {
    let model = tiny(2048);
    let in_first = "{% for m in messages if m.role != 'system' %}{% if loop.first and messages[0].role == 'system' %}[{{ messages[0].content }}]\
        {% endif %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}<assistant>";
    let by_index = "{% for m in messages %}<{{ loop.index }}>{{ m.content }}{% endfor %}<assistant>";
    let by_number = "{{ messages | length }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>";
    for (template, grows) in [(in_first, false), (by_index, false), (by_number, true)] {
        let mut session = talk(&model, Some(template), 2, Some("be kind"));
        for turn in 0..40 {
            let before = session.context().position();
            let answer = ask(&mut session, "the and");
            let is_whole = answer.timing.prefill_tokens > before;
            assert!(answer.timing.prefill_tokens < 60 || grows && is_whole, "turn {turn} feeds {}", answer.timing.prefill_tokens);
        }
    }
}

/// The median time of the turns in a range, and the most tokens that one of them fed.
fn turns(session: &mut ChatSession<ModelSteps>, n: usize) -> (Duration, usize) {
    let mut times = Vec::new();
    let mut fed = 0;
    for _ in 0..n {
        let start = Instant::now();
        fed = fed.max(ask(session, "the and the").timing.prefill_tokens);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    (times[n / 2], fed)
}

#[test]
fn a_turn_feeds_its_own_tokens_however_long_the_conversation_is() {
    let model = tiny(128);
    let mut session = talk(&model, None, 4, None);
    let (_, first) = turns(&mut session, 40);
    let (_, last) = turns(&mut session, 100);
    // An answer that ends by itself leaves its last token to the next turn.
    assert!(last <= first + 4, "{first} tokens at most in the first turns, {last} in the last");
    assert_eq!(session.messages().len(), 280, "nothing is dropped");
}
