//! Chat templates against the renderings of the reference data (`TL_REFERENCE`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;
use tensorlogic::text::template::Clock;
use tensorlogic::text::{ChatTemplate, Message, RenderContext, TemplateError};

struct Case {
    name: String,
    template: ChatTemplate,
    messages: Vec<Message>,
    context: RenderContext,
    expected: Result<String, String>,
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn cases() -> Option<Vec<Case>> {
    let Some(root) = std::env::var_os("TL_REFERENCE") else {
        println!("skipped: TL_REFERENCE is not set");
        return None;
    };
    let folder = PathBuf::from(root).join("chat_templates");
    let json = |name: &str| -> Value { serde_json::from_str(&read(folder.join(name))).expect("JSON") };
    let templates: HashMap<String, Value> = json("templates.json")
        .as_array()
        .expect("templates")
        .iter()
        .map(|t| (t["file"].as_str().expect("a file").to_string(), t.clone()))
        .collect();
    let conversations = json("conversations.json");
    let text = |value: &Value| value.as_str().map(str::to_string);
    let expected = json("expected.json");
    let cases = expected["results"].as_array().expect("results").iter().map(|result| {
        let file = text(&result["template"]).expect("a template");
        let conversation = text(&result["conversation"]).expect("a conversation");
        let messages = conversations[&conversation].as_array().expect("messages");
        let add_generation_prompt = result["add_generation_prompt"].as_bool().expect("a flag");
        Case {
            name: format!("{file} {conversation} {add_generation_prompt} {}", result["variables"]),
            template: ChatTemplate::from_source(&read(folder.join(&file))).unwrap_or_else(|e| panic!("{file}: {e}")),
            messages: messages
                .iter()
                .map(|m| Message::new(m["role"].as_str().expect("a role"), m["content"].as_str().expect("a text")))
                .collect(),
            context: RenderContext {
                add_generation_prompt,
                bos_token: text(&templates[&file]["bos_token"]),
                eos_token: text(&templates[&file]["eos_token"]),
                variables: result["variables"].as_object().expect("variables").clone(),
                clock: Clock::at(2025, 1, 15, 12, 0, 0),
            },
            expected: text(&result["output"]).ok_or_else(|| text(&result["error"]).expect("an error")),
        }
    });
    Some(cases.collect())
}

#[test]
fn every_rendering_is_equal() {
    let Some(cases) = cases() else { return };
    assert_eq!(cases.len(), 240);
    let mut n_errors = 0;
    let mut failed = Vec::new();
    for case in &cases {
        let rendered = match case.template.render(&case.messages, &case.context) {
            Ok(text) => Ok(text),
            Err(TemplateError::Raised(message)) => Err(message),
            Err(error) => Err(format!("not raised: {error}")),
        };
        n_errors += usize::from(rendered.is_err());
        if rendered != case.expected {
            failed.push(format!("{}\n  is       {rendered:?}\n  expected {:?}", case.name, case.expected));
        }
    }
    assert!(failed.is_empty(), "{} differ\n{}", failed.len(), failed.join("\n"));
    assert_eq!(n_errors, 8);
}

#[test]
fn prompts_are_the_renderings_with_the_messages_marked() {
    let Some(cases) = cases() else { return };
    for case in &cases {
        let Ok(prompt) = case.template.render_prompt(&case.messages, &case.context) else {
            assert!(case.expected.is_err(), "{}", case.name);
            continue;
        };
        assert_eq!(Ok(&prompt.text), case.expected.as_ref(), "{}", case.name);
        // Each bracket that a message has is marked.
        let marked: String = prompt.messages.iter().map(|range| &prompt.text[range.clone()]).collect();
        let last = &case.messages[case.messages.len() - 1].content;
        let brackets = |text: &str| text.chars().filter(|c| "<>{}".contains(*c)).count();
        let expected: usize = case.messages.iter().map(|m| brackets(&m.content)).sum();
        assert_eq!(brackets(&marked), expected, "{} {last}", case.name);
    }
}
