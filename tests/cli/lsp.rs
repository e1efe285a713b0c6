//! The language server, asked as an editor asks it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::process::{command, tl};

const ADDRESS: &str = "file:///example.tl";
const PROGRAM: &str = "// Twice as much.\nfn double(x: float[n]) -> float[n] { x * 2.0 }\nlet y = double([1.0, 2.0])\nprint(softmax(y))\n";

struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    asked: i64,
}

impl Client {
    fn new() -> Client {
        let mut child = command(&["lsp"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut client = Client { child, input, output, asked: 0 };
        let begun = client.ask("initialize", json!({"processId": null, "rootUri": null, "capabilities": {}}));
        assert_eq!(begun["capabilities"]["hoverProvider"], true);
        client.tell("initialized", json!({}));
        client
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.input.flush().unwrap();
    }

    fn read(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the server has ended");
            match line.trim().split_once(": ") {
                Some(("Content-Length", n)) => length = n.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut bytes = vec![0; length];
        self.output.read_exact(&mut bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let answer = self.read();
        assert_eq!(answer["id"], id, "{answer}");
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    /// Opens or changes the program, and returns what is said to be wrong with it.
    fn shows(&mut self, text: &str, is_open: bool) -> Value {
        if is_open {
            let document = json!({"uri": ADDRESS, "version": 2});
            self.tell("textDocument/didChange", json!({"textDocument": document, "contentChanges": [{"text": text}]}));
        } else {
            let document = json!({"uri": ADDRESS, "languageId": "tensorlogic", "version": 1, "text": text});
            self.tell("textDocument/didOpen", json!({"textDocument": document}));
        }
        let said = self.read();
        assert_eq!((&said["method"], &said["params"]["uri"]), (&json!("textDocument/publishDiagnostics"), &json!(ADDRESS)));
        said["params"]["diagnostics"].clone()
    }

    /// Asks about the first place of a word in the program.
    fn at(&mut self, method: &str, word: &str) -> Value {
        let byte = PROGRAM.find(word).unwrap();
        let line = PROGRAM[..byte].matches('\n').count();
        let character = byte - PROGRAM[..byte].rfind('\n').map_or(0, |at| at + 1);
        self.ask(method, json!({"textDocument": {"uri": ADDRESS}, "position": {"line": line, "character": character}}))
    }

    fn ends(mut self) {
        assert_eq!(self.ask("shutdown", Value::Null), Value::Null);
        self.tell("exit", Value::Null);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn what_is_wrong_is_shown_while_it_is_typed() {
    let mut client = Client::new();
    assert_eq!(client.shows(PROGRAM, false), json!([]));
    let found = client.shows("let a = 1\nlet b = aa +\n", true);
    assert_eq!((found[0]["severity"].as_u64(), found[0]["source"].as_str()), (Some(1), Some("tl")), "{found}");
    let found = client.shows("let total = 1\nprint(totl)\n", true);
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert!(found[0]["message"].as_str().unwrap().contains("totl"), "{found}");
    assert_eq!(found[0]["range"], json!({"start": {"line": 1, "character": 6}, "end": {"line": 1, "character": 10}}));
    // A model's program has names that the engine gives, and an import may give others.
    assert_eq!(client.shows("let n = config.block_count\nlet w = model.token_embd\n", true), json!([]));
    assert_eq!(client.shows("import \"other.tl\"\nprint(helper(1))\n", true), json!([]));
    client.tell("textDocument/didClose", json!({"textDocument": {"uri": ADDRESS}}));
    assert_eq!(client.read()["params"]["diagnostics"], json!([]));
    client.ends();
}

#[test]
fn a_name_is_explained_found_completed_and_laid_out() {
    let mut client = Client::new();
    client.shows(PROGRAM, false);
    let hover = client.at("textDocument/hover", "softmax");
    let documented = tl(&["doc", "softmax"]);
    let signature = documented.answer().lines().next().unwrap();
    assert!(hover["contents"]["value"].as_str().unwrap().contains(signature), "{hover}");
    let hover = client.at("textDocument/hover", "double([");
    assert!(hover["contents"]["value"].as_str().unwrap().contains("fn double(x: float[n]) -> float[n]"), "{hover}");
    assert_eq!(client.at("textDocument/hover", "= double"), Value::Null);
    let place = client.at("textDocument/definition", "double([");
    assert_eq!(place["range"], json!({"start": {"line": 1, "character": 3}, "end": {"line": 1, "character": 9}}));
    let place = client.at("textDocument/definition", "y))");
    assert_eq!(place["range"]["start"], json!({"line": 2, "character": 4}));
    assert_eq!(client.at("textDocument/definition", "softmax"), Value::Null, "the library has no place in the program");
    let offered = client.at("textDocument/completion", "softmax");
    let labels: Vec<&str> = offered.as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap()).collect();
    for name in ["softmax", "double", "y", "x", "while", "push"] {
        assert!(labels.contains(&name), "{name}");
    }
    let edits = client.ask("textDocument/formatting", json!({"textDocument": {"uri": ADDRESS}, "options": {}}));
    assert_eq!(edits[0]["newText"], PROGRAM);
    client.shows("let  x=1\n", true);
    let edits = client.ask("textDocument/formatting", json!({"textDocument": {"uri": ADDRESS}, "options": {}}));
    assert_eq!(
        edits,
        json!([{"range": {"start": {"line": 0, "character": 0}, "end": {"line": 1, "character": 0}}, "newText": "let x = 1\n"}])
    );
    client.shows("let x = (\n", true);
    assert_eq!(client.ask("textDocument/formatting", json!({"textDocument": {"uri": ADDRESS}, "options": {}})), Value::Null);
    client.ends();
}
