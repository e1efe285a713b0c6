//! Hostile text: parsing ends, without a panic, and every span lies in the file.

use tensorlogic::diag::{Color, any_error};
use tensorlogic::source::{FileId, SourceMap};
use tensorlogic::syntax::{dump, format, is_incomplete, lex, parse};

/// A seeded generator (xorshift64*), so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

const WORDS: &[&str] = &[
    "fn", "let", "if", "else", "match", "while", "for", "in", "loop", "break", "continue", "return", "import", "struct", "true", "false",
    "and", "or", "not", "as", "test", "bench", "main", "learn", "relation", "entity", "minimize", "max", "x", "y", "p'", "Parent", "W",
    "0", "1", "2.5", "1e-5", "\"s\"", "(", ")", "[", "]", "{", "}", ",", ";", ":", "::", ".", "..", "...", "->", "=>", "<-", "=", "==",
    "!=", "<", "<=", ">", "+", "-", "*", "/", "%", "@", "⊙", "**", "+=", "max=", "?", "|", "\n", "\n", "\n", " ", " ", "// c\n", "/* c */",
    "\"", "/*", "§", "!", "'",
];

#[test]
fn random_bytes() {
    let mut random = Random(0x5eed);
    for _ in 0..3_000 {
        let bytes: Vec<u8> = (0..random.below(120)).map(|_| random.below(256) as u8).collect();
        accept(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn random_tokens() {
    let mut random = Random(0xbeef);
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..random.below(40) {
            text.push_str(WORDS[random.below(WORDS.len())]);
            text.push_str(if random.below(2) == 0 { " " } else { "" });
        }
        accept(&text);
    }
}

#[test]
fn a_program_cut_anywhere_or_with_a_token_taken_out() {
    let program = include_str!("trees/tour.tl");
    for cut in (0..program.len()).filter(|at| program.is_char_boundary(*at)) {
        accept(&program[..cut]);
    }
    for token in lex(FileId(0), program).tokens {
        accept(&[&program[..token.span.start as usize], &program[token.span.end as usize..]].concat());
    }
}

#[test]
fn a_program_with_other_gaps_between_its_tokens() {
    let program = include_str!("trees/tour.tl");
    let tokens = lex(FileId(0), program).tokens;
    let mut random = Random(0x9a9);
    for _ in 0..1_000 {
        let mut text = program.to_owned();
        for _ in 0..1 + random.below(3) {
            let at = tokens[random.below(tokens.len())].span.start as usize;
            let gap = ["", " ", "\n", " // c\n", "/* c */", "\n\n// c\n\n", ";", "\r\n  "][random.below(8)];
            if text.is_char_boundary(at) && at <= text.len() {
                text.insert_str(at, gap);
            }
        }
        accept(&text);
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let n = 50_000;
    let openers = [
        "(",
        "[",
        "{",
        "-",
        "not ",
        "f(",
        "x[",
        "fn() {",
        "if a {",
        "if ",
        "match a { _ => ",
        "match ",
        "2 ** ",
        "let a = {",
        "a + (",
        "while a {",
        "fn f() {",
        "P { x: ",
        "a[b[",
        "let (",
        "for (",
        "match a { (",
        "fn f(x: (",
        "loop {",
        "main {",
        "struct A { fn f() {",
        "Y[i] = (",
        "learn { minimize ",
        "fn f(a = ",
        "x as (",
        "P(x) <- (",
        "/*",
        "test t {",
        "a or ",
        "return ",
    ];
    for opener in openers {
        let (_, diagnostics) = accept(&opener.repeat(n));
        assert!(diagnostics, "{opener}");
    }
}

#[test]
fn a_long_chain_is_an_error_and_no_overflow() {
    for link in [" + a", ".f()", ".f", "(0)", "[0]", " as int", " and a", " ..a", " < a", "?", " * a * (a)"] {
        let (_, diagnostics) = accept(&format!("a{}", link.repeat(50_000)));
        assert!(diagnostics, "{link}");
    }
    let (_, diagnostics) = accept(&format!("Y[i] = a{}", " a".repeat(50_000)));
    assert!(diagnostics);
    // Chains inside chains: the tree's height is their sum.
    let nested = (0..60).fold("a".to_owned(), |inner, _| format!("({inner}){}", " + a".repeat(60)));
    let (_, diagnostics) = accept(&nested);
    assert!(diagnostics);
}

#[test]
fn long_and_flat_is_fine() {
    let program = include_str!("trees/tour.tl");
    let cases = ["a\n".repeat(50_000), "f(x, y)\n".repeat(20_000), format!("[{}]", "1, ".repeat(100_000)), program.repeat(50)];
    for text in cases {
        let (_, diagnostics) = accept(&text);
        assert!(!diagnostics);
    }
    let branches = format!("if a {{ 1 }}{}", " else if a { 1 }".repeat(10_000));
    assert!(!accept(&branches).1);
    assert!(!accept(&format!("a{}", " + a".repeat(500))).1, "a sum of 500 terms");
    let nested = (0..24).fold("1".to_owned(), |inner, _| format!("if a {{ {inner} }}"));
    assert!(!accept(&nested).1, "24 blocks inside each other");
}

#[test]
fn stray_closers_cost_no_search() {
    accept(&format!("{}{}", "(".repeat(90), "]".repeat(200_000)));
    accept(&"([{".repeat(60_000));
    accept(&"}".repeat(100_000));
}

/// Parses, renders each diagnostic of a short text, and checks every span. Says whether there was an error.
fn accept(text: &str) -> (String, bool) {
    let mut sources = SourceMap::new();
    let file = sources.add("soup.tl", text);
    let lexed = lex(file, text);
    let mut end = 0;
    for token in &lexed.tokens {
        assert!(token.span.start >= end && text.get(token.span.range()).is_some(), "{token:?} of {text:?}");
        end = token.span.end;
    }
    is_incomplete(text);
    let (ast, diagnostics) = parse(file, text);
    let mut at = 0;
    for stmt in &ast.stmts {
        assert!(stmt.span.start >= at && text.get(stmt.span.range()).is_some(), "{:?} of {text:?}", stmt.span);
        at = stmt.span.end;
    }
    for diagnostic in &diagnostics {
        for label in &diagnostic.labels {
            assert!(text.get(label.span.range()).is_some(), "{diagnostic:?} of {text:?}");
        }
        if text.len() < 200 {
            assert!(diagnostic.render(&sources, Color::Never).starts_with(diagnostic.severity.name()));
        }
    }
    // What has no error has a layout, which is its own layout.
    if !any_error(&diagnostics) && text.len() < 10_000 {
        let formatted = format(text).unwrap_or_else(|errors| panic!("{errors:?} of {text:?}"));
        assert_eq!(format(&formatted).as_ref(), Ok(&formatted), "of {text:?}");
    }
    (dump(&ast), any_error(&diagnostics))
}
