//! What editors know of the language: the words and signs of the grammar are the language's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use tensorlogic::lang::Architectures;
use tensorlogic::source::FileId;
use tensorlogic::syntax::{TokenKind, lex};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn grammar() -> Value {
    serde_json::from_str(&read("editors/vscode/syntaxes/tensorlogic.tmLanguage.json")).unwrap()
}

/// The words of the alternatives of every `match` below a part of the grammar.
fn words(part: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    match part {
        Value::Object(members) => {
            if let Some(pattern) = members.get("match").and_then(Value::as_str) {
                let group = pattern.split('(').nth(1).and_then(|rest| rest.split(')').next()).unwrap();
                found.extend(group.split('|').map(str::to_owned));
            }
            members.values().for_each(|member| found.extend(words(member)));
        }
        Value::Array(items) => items.iter().for_each(|item| found.extend(words(item))),
        _ => {}
    }
    found
}

#[test]
fn the_keywords_of_the_grammar_are_those_of_the_language() {
    let repository = &grammar()["repository"];
    let in_grammar: BTreeSet<String> = words(&repository["keywords"]).union(&words(&repository["constants"])).cloned().collect();
    // The language's own list: the words of `kinds!`.
    let tokens = read("src/syntax/token.rs");
    let list = tokens.split("words {\n").nth(1).unwrap().split('}').next().unwrap();
    let in_language: BTreeSet<String> = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(in_grammar, in_language);
    assert!(in_language.iter().all(|word| TokenKind::keyword(word).is_some()));
    // Words that are keywords in one place alone, and names elsewhere.
    let (blocks, syntax) = (words(&repository["blocks"]), read("src/syntax/parser/stmt.rs") + &read("src/syntax/parser/cursor.rs"));
    let contextual: BTreeSet<String> =
        syntax.split("at_word(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect();
    let missing: Vec<&String> = contextual.difference(&blocks).collect();
    assert!(missing.is_empty(), "the grammar's blocks lack {missing:?}");
}

/// The names in quotes between two places of a file.
fn quoted(path: &str, from: &str, to: &str) -> BTreeSet<String> {
    let text = read(path);
    let part = text.split(from).nth(1).unwrap().split(to).next().unwrap();
    part.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_types_of_the_grammar_are_those_of_the_language() {
    let types = words(&grammar()["repository"]["types"]);
    let elements = quoted("src/lang/types.rs", "fn dtype_of_name", "\n}");
    let others = quoted("src/lang/resolve/types.rs", "const TYPE_NAMES", "\n];");
    assert!(elements.len() > 8 && others.len() > 10, "{elements:?} {others:?}");
    // `fn`, `tensor` and `none` are words of the language before they are types.
    let is_word = |name: &String| ["fn", "tensor", "none"].contains(&name.as_str());
    let known: BTreeSet<String> = elements.union(&others).filter(|name| !is_word(name)).cloned().collect();
    assert_eq!(types, known);
}

/// Every sign of the library's programs is one that the grammar colours, or a bracket or a comma.
#[test]
fn the_signs_of_programs_are_in_the_grammar() {
    let grammar = grammar();
    let pattern = grammar["repository"]["operators"]["match"].as_str().unwrap();
    let plain = pattern.replace('\\', "");
    for name in Architectures::names() {
        let (_, text) = Architectures::find(name).unwrap();
        for token in lex(FileId(0), text).tokens {
            if let Some(sign) = token.kind.fixed_text().filter(|_| !token.kind.is_keyword())
                && !"()[]{},;:.".contains(sign)
            {
                assert!(plain.contains(sign), "{name}: {sign}");
            }
        }
    }
}

#[test]
fn the_files_of_the_extension_are_json_that_fits_together() {
    let manifest: Value = serde_json::from_str(&read("editors/vscode/package.json")).unwrap();
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    let contributes = &manifest["contributes"];
    let at = |path: &Value| read(&format!("editors/vscode/{}", path.as_str().unwrap()));
    let configuration: Value = serde_json::from_str(&at(&contributes["languages"][0]["configuration"])).unwrap();
    assert_eq!(configuration["comments"]["lineComment"], "//");
    let grammar: Value = serde_json::from_str(&at(&contributes["grammars"][0]["path"])).unwrap();
    assert_eq!(grammar["scopeName"], contributes["grammars"][0]["scopeName"]);
    // Each part that is included is there, and each that is there is included.
    let text = grammar.to_string();
    let included: BTreeSet<&str> = text.split("\"include\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(included, grammar["repository"].as_object().unwrap().keys().map(String::as_str).collect());
}
