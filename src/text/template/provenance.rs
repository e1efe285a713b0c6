//! Which part of a rendered conversation is the template's own text and which came from a message.
//!
//! The template is rendered once as it is, and again with the messages' characters replaced by private-use ones. Those are recognised in the
//! output wherever the template put, cut, joined or replaced them, and put back; if the text is then that of the plain rendering, its origin is
//! known exactly. Some templates look into a message (`'/think' in content`, `tojson`) and render the replaced one otherwise. For these fewer
//! characters are replaced: first all but letters and digits, then the brackets and bars that special tokens are written with. A special
//! token begins or ends with such a character, so in a text where those of the messages are known no message can spell one, even where a template
//! joins what a message had apart. Should the last rendering differ still, it is used: the template has seen marks of a message as ordinary
//! characters, and that is what they are.

use std::collections::HashMap;
use std::ops::Range;

use super::{Message, RenderContext, TemplateError, engine};

/// A rendered conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    pub text: String,
    /// Byte ranges of `text` that came from messages, as far as it takes to keep them from becoming special tokens; ascending, apart.
    pub messages: Vec<Range<usize>>,
}

/// Marks that a template looks for in earlier answers, which are the model's own text: they are left as they are there.
const ANSWER_MARKS: [&str; 2] = ["<think>", "</think>"];

pub fn render(source: &str, messages: &[Message], context: &RenderContext) -> Result<Prompt, TemplateError> {
    let plain = engine::render(source, messages, context)?;
    let everything: fn(char) -> bool = |c| !c.is_whitespace();
    let signs: fn(char) -> bool = |c| !c.is_whitespace() && !c.is_alphanumeric();
    let brackets: fn(char) -> bool = |c| matches!(c, '<' | '>' | '[' | ']' | '{' | '}' | '|' | '｜' | '▁');
    let mut closest = None;
    for replaced in [everything, signs, brackets] {
        let Some(disguise) = Disguise::new(source, messages, context, replaced) else { break };
        let disguised: Vec<Message> = messages.iter().map(|message| disguise.put_on(message)).collect();
        let Ok(text) = engine::render(source, &disguised, context) else { continue };
        let prompt = disguise.take_off(&text);
        if prompt.text == plain {
            return Ok(prompt);
        }
        closest = Some(prompt);
    }
    closest
        .ok_or_else(|| TemplateError::Limit("reads signs inside of messages, so that they cannot be kept apart from its own".to_string()))
}

/// A one-to-one replacement of characters by private-use ones that occur nowhere else.
struct Disguise {
    of: HashMap<char, char>,
    original: HashMap<char, char>,
}

impl Disguise {
    /// `None` when there are more different characters than private-use ones.
    fn new(source: &str, messages: &[Message], context: &RenderContext, replaced: fn(char) -> bool) -> Option<Disguise> {
        let is_private = |c: char| ('\u{F0000}'..='\u{10FFFD}').contains(&c);
        let variables = serde_json::to_string(&context.variables).unwrap_or_default();
        let special = [&context.bos_token, &context.eos_token].into_iter().flatten();
        let texts = messages.iter().flat_map(|m| [&m.role, &m.content]).chain(special).chain([&variables]);
        let taken: std::collections::HashSet<char> =
            texts.flat_map(|text| text.chars()).chain(source.chars()).filter(|&c| is_private(c)).collect();
        let mut free = ('\u{F0000}'..='\u{10FFFD}').filter(|c| !taken.contains(c));
        let (mut of, mut original) = (HashMap::new(), HashMap::new());
        for c in messages.iter().flat_map(|m| m.content.chars()).filter(|&c| replaced(c)) {
            if let std::collections::hash_map::Entry::Vacant(entry) = of.entry(c) {
                original.insert(*entry.insert(free.next()?), c);
            }
        }
        Some(Disguise { of, original })
    }

    fn put_on(&self, message: &Message) -> Message {
        let mut content = String::with_capacity(message.content.len() * 2);
        let mut rest = message.content.as_str();
        while let Some(c) = rest.chars().next() {
            let mark = ANSWER_MARKS.iter().find(|mark| message.role == "assistant" && rest.starts_with(**mark));
            let len = mark.map_or(c.len_utf8(), |mark| mark.len());
            match mark {
                Some(mark) => content.push_str(mark),
                None => content.push(*self.of.get(&c).unwrap_or(&c)),
            }
            rest = &rest[len..];
        }
        Message { role: message.role.clone(), content }
    }

    fn take_off(&self, text: &str) -> Prompt {
        let mut prompt = Prompt { text: String::with_capacity(text.len()), messages: Vec::new() };
        for c in text.chars() {
            let start = prompt.text.len();
            let Some(&original) = self.original.get(&c) else {
                prompt.text.push(c);
                continue;
            };
            prompt.text.push(original);
            let end = prompt.text.len();
            match prompt.messages.last_mut() {
                Some(range) if range.end == start => range.end = end,
                _ => prompt.messages.push(start..end),
            }
        }
        prompt
    }
}
