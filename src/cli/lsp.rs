//! `tl lsp`: a language server on standard input and output, for editors that speak the Language Server Protocol.

mod document;

use std::collections::{BTreeMap, HashMap};

use lsp_server::{Connection, ErrorCode, Message, Notification, Request, Response};
use serde_json::{Value, json};

use tensorlogic::diag::{Diagnostic, Severity};
use tensorlogic::lang::doc::{DocEntry, documentation, lookup};
use tensorlogic::lang::{Interp, Options};
use tensorlogic::syntax::format;

use super::error::{CliError, CliResult};
use document::{Declaration, Document, Kind};

/// Numbers of the protocol: how a client sends texts, and what kinds of entries a completion has.
const WHOLE_TEXTS: u32 = 1;
const FUNCTION: u32 = 3;
const VARIABLE: u32 = 6;
const KEYWORD: u32 = 14;
const STRUCT: u32 = 22;

/// Words of the language that completion offers.
const WORDS: &[&str] = &[
    "fn", "let", "if", "else", "match", "while", "for", "in", "loop", "break", "continue", "return", "import", "struct", "true", "false",
    "none", "and", "or", "not", "as",
];

pub fn run() -> CliResult {
    let interp = Interp::new(Options::default()).map_err(|found| CliError::failed(format!("the library has {} errors", found.len())))?;
    let (connection, threads) = Connection::stdio();
    let capabilities = json!({
        "textDocumentSync": {"openClose": true, "change": WHOLE_TEXTS},
        "hoverProvider": true,
        "completionProvider": {"triggerCharacters": ["."]},
        "definitionProvider": true,
        "documentFormattingProvider": true,
    });
    match connection.initialize(capabilities) {
        // Nobody is there: as a filter whose input is empty.
        Err(error) if error.channel_is_disconnected() => return Ok(()),
        begun => begun.map_err(CliError::failed)?,
    };
    let mut server = Server { interp, documents: HashMap::new() };
    for message in &connection.receiver {
        let answer = match message {
            Message::Request(request) => {
                if connection.handle_shutdown(&request).map_err(CliError::failed)? {
                    break;
                }
                Some(Message::from(server.answer(request)))
            }
            Message::Notification(notification) => server.heard(&notification).map(Message::from),
            Message::Response(_) => None,
        };
        if answer.is_some_and(|answer| connection.sender.send(answer).is_err()) {
            break;
        }
    }
    // The threads end when nothing can be sent any more.
    drop(connection);
    Ok(threads.join()?)
}

/// The open programs of an editor, by their addresses.
struct Server {
    interp: Interp,
    documents: HashMap<String, Document>,
}

impl Server {
    /// What an editor says of its texts. A changed one is answered with what is wrong with it.
    fn heard(&mut self, notification: &Notification) -> Option<Notification> {
        let params = &notification.params;
        let address = params["textDocument"]["uri"].as_str()?.to_owned();
        let found = match notification.method.as_str() {
            "textDocument/didOpen" => {
                let document = Document::new(params["textDocument"]["text"].as_str()?.to_owned());
                self.open(&address, document)
            }
            "textDocument/didChange" => {
                let document = Document::new(params["contentChanges"].as_array()?.last()?["text"].as_str()?.to_owned());
                self.open(&address, document)
            }
            "textDocument/didClose" => {
                self.documents.remove(&address);
                Vec::new()
            }
            _ => return None,
        };
        Some(Notification::new("textDocument/publishDiagnostics".to_owned(), json!({"uri": address, "diagnostics": found})))
    }

    fn open(&mut self, address: &str, document: Document) -> Vec<Value> {
        let found = self.interp.check(&document.text).iter().map(|diagnostic| shown(diagnostic, &document)).collect();
        self.documents.insert(address.to_owned(), document);
        found
    }

    fn answer(&self, request: Request) -> Response {
        let params = &request.params;
        let document = params["textDocument"]["uri"].as_str().and_then(|address| self.documents.get(address));
        let Some(document) = document else {
            return Response::new_err(request.id, ErrorCode::InvalidParams as i32, "the document is not open".to_owned());
        };
        let at = document.byte(&params["position"]);
        let result = match request.method.as_str() {
            "textDocument/hover" => at.and_then(|at| hover(document, at)),
            "textDocument/completion" => Some(completion(document)),
            "textDocument/definition" => at.and_then(|at| {
                let found = document.definition(&document.text[document.name_at(at)?], at)?;
                Some(json!({"uri": params["textDocument"]["uri"], "range": document.range(found.name)}))
            }),
            // A program with errors stays as it is; they are shown already.
            "textDocument/formatting" => format(&document.text).ok().map(|text| json!([{"range": document.whole(), "newText": text}])),
            other => {
                let says = format!("`{other}` is not answered");
                return Response::new_err(request.id, ErrorCode::MethodNotFound as i32, says);
            }
        };
        Response::new_ok(request.id, result.unwrap_or(Value::Null))
    }
}

/// A diagnostic of the language as one of the protocol, at its first place.
fn shown(diagnostic: &Diagnostic, document: &Document) -> Value {
    let place = diagnostic.labels.iter().find(|label| label.primary).or_else(|| diagnostic.labels.first());
    let range = place.map_or(0..0, |label| label.span.range());
    let says = place.map(|label| label.message.as_str()).filter(|message| !message.is_empty());
    let mut message = diagnostic.message.clone();
    message.extend(says.map(|says| format!(": {says}")));
    diagnostic.hints.iter().for_each(|hint| message.push_str(&format!("\n{hint}")));
    let severity = match diagnostic.severity {
        Severity::Error => 1,
        Severity::Warning => 2,
        Severity::Note => 3,
    };
    json!({"range": document.range(range), "severity": severity, "source": "tl", "message": message})
}

/// What a name is: its own line where the program introduces it, else the library's documentation.
fn hover(document: &Document, at: usize) -> Option<Value> {
    let range = document.name_at(at)?;
    let name = &document.text[range.clone()];
    let is_method = document.text[..range.start].ends_with('.');
    let text = match document.definition(name, at).filter(|_| !is_method) {
        Some(Declaration { line, .. }) => fenced(&line),
        None => {
            let entry = |entry: DocEntry| format!("{}\n{}", fenced(&entry.signature), entry.doc);
            let found: Vec<String> = lookup(name).into_iter().map(entry).collect();
            if found.is_empty() {
                return None;
            }
            found.join("\n\n")
        }
    };
    Some(json!({"contents": {"kind": "markdown", "value": text}, "range": document.range(range)}))
}

fn fenced(code: &str) -> String {
    format!("```tensorlogic\n{code}\n```")
}

/// The names of the program, the library and the language; the editor picks those that fit.
fn completion(document: &Document) -> Value {
    // A later entry of a name takes the place of an earlier one.
    let mut entries: BTreeMap<String, Value> = BTreeMap::new();
    for word in WORDS {
        entries.insert((*word).to_owned(), json!({"label": word, "kind": KEYWORD}));
    }
    for entry in documentation() {
        let name = entry.name.rsplit('.').next().unwrap_or_default().to_owned();
        let item = json!({"label": name, "kind": FUNCTION, "detail": entry.signature, "documentation": entry.doc});
        entries.insert(name, item);
    }
    for declaration in document.declarations() {
        let kind = match declaration.kind {
            Kind::Function => FUNCTION,
            Kind::Struct => STRUCT,
            Kind::Variable => VARIABLE,
        };
        let name = document.text[declaration.name].to_owned();
        let item = json!({"label": name, "kind": kind, "detail": declaration.line});
        entries.insert(name, item);
    }
    entries.into_values().collect()
}

#[cfg(test)]
mod tests {
    use tensorlogic::syntax::TokenKind;

    use super::*;

    #[test]
    fn completion_offers_words_of_the_language() {
        assert!(WORDS.iter().all(|word| TokenKind::keyword(word).is_some_and(TokenKind::is_keyword)));
    }
}
