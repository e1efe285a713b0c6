//! Conversations as programs of the language have them.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::lang::{ChatRequest, EngineChat};
use crate::model::{ChatEvent, ChatSession, ChatSettings};
use crate::text::{AnswerPart, without_thinking};

use super::steps::ModelSteps;
use super::{EngineError, LoadedModel};

struct HostedChat {
    session: Mutex<ChatSession<ModelSteps>>,
}

/// Begins a conversation with a model, by its own template.
///
/// # Errors
/// Those of the settings, the tokenizer and the template.
pub(super) fn begin(model: &LoadedModel, request: ChatRequest) -> Result<Arc<dyn EngineChat>, EngineError> {
    let settings = ChatSettings { sampling: model.sampling(&request.sampling)?, max_tokens: request.max_tokens };
    let session = model.chat(None, settings, request.system)?;
    Ok(Arc::new(HostedChat { session: Mutex::new(session) }))
}

/// What a function that hears the answer is told when it reaches for the conversation.
const ANSWERING: &str = "this chat is answering: wait until `say` has returned";

impl EngineChat for HostedChat {
    fn say(&self, text: &str, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<String, String> {
        let mut session = self.session.try_lock().ok_or_else(|| ANSWERING.to_owned())?;
        let answer = session.ask(text, |event| match event {
            ChatEvent::Text(AnswerPart::Answer(text)) => on_text(&text),
            _ => ControlFlow::Continue(()),
        });
        Ok(without_thinking(&answer.map_err(|e| e.to_string())?.text).to_owned())
    }

    fn messages(&self) -> Vec<(String, String)> {
        // While it answers, what is asked for is not known yet.
        let Some(session) = self.session.try_lock() else { return Vec::new() };
        let system = session.system().map(|text| ("system".to_owned(), text.to_owned()));
        system.into_iter().chain(session.messages().iter().map(|m| (m.role.clone(), m.content.clone()))).collect()
    }

    fn clear(&self) -> Result<(), String> {
        self.session.try_lock().ok_or_else(|| ANSWERING.to_owned())?.clear();
        Ok(())
    }
}
