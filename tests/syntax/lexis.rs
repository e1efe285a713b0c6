//! Tokens, literals and the line-break rule.

use crate::{check, check_errors};
use tensorlogic::source::FileId;
use tensorlogic::syntax::{TokenKind, is_incomplete, lex};

#[test]
fn names_are_unicode_words() {
    check("let größe = α1 + 変数 + _x + p'", "(let größe (+ (+ (+ α1 変数) _x) p'))");
}

#[test]
fn comments_nest_and_may_hold_line_breaks() {
    check("let a = 1 // one\n/* a /* b */ c */ let b = 2", "(let a 1)\n(let b 2)");
    check("a /*\n*/ -b", "a\n(neg b)");
    check_errors("a /* b /* c */", &["1:3 comment is never closed"]);
}

#[test]
fn contextual_words_are_names_where_no_declaration_starts() {
    check("let test = 1", "(let test 1)");
    check("test = bench + main", "(= test (+ bench main))");
    check("learn(relation, entity)", "(call learn relation entity)");
    check("test(1)\nmain.x", "(call test 1)\n(field x main)");
    check("test one { 1 }", "(test one {1})");
    check("bench two { }", "(bench two {})");
    check("main { }", "(main {})");
}

#[test]
fn numbers() {
    check("[0, 42, 1_000, 0x1f, 9223372036854775807]", "(list 0 42 1000 31 9223372036854775807)");
    check("[1.5, 1e5, 1.25e-3, 2E+2, 0.5]", "(list 1.5 100000.0 0.00125 200.0 0.5)");
    check_errors("9223372036854775808", &["1:1 integer 9223372036854775808 does not fit in 64 bits: the largest is 9223372036854775807"]);
    check_errors("1e999", &["1:1 float 1e999 is out of range: the largest is 1.7976931348623157e308"]);
    check_errors("0xzz", &["1:1 `0xzz` is no hexadecimal number"]);
    check_errors("let a = 2x", &["1:10 `x` directly after the number `2`"]);
    check_errors("let a = 2e", &["1:10 `e` directly after the number `2`"]);
}

#[test]
fn a_float_needs_a_digit_after_its_dot() {
    check("1.sum()", "(method sum 1)");
    check("0..n", "(.. 0 n)");
    check("1.5.sum()", "(method sum 1.5)");
    check_errors("let x = 1.\nlet y = 2", &["1:11 expected a name after `.`, found the end of the line"]);
    check_errors("f(.5)", &["1:3 expected an expression, found `.`"]);
    check_errors("t.0", &["1:3 expected a name after `.`, found `0`"]);
}

#[test]
fn strings_have_escapes_and_end_on_their_line() {
    check(r#"["a\n\t\"\\", "⊙ \u{1F600}", "\0\r"]"#, r#"(list "a\n\t\"\\" "⊙ 😀" "\0\r")"#);
    check_errors(r#"print("a\q")"#, &["1:9 unknown escape `\\q` in a string"]);
    check_errors(r#"print("\u{d800}")"#, &["1:8 unknown escape `\\u{d800}` in a string"]);
    check_errors(
        "let a = \"abc\nlet b = 1 +",
        &["1:9 string is not closed before the end of its line", "2:12 expected an expression, found the end of the file"],
    );
}

#[test]
fn a_line_break_ends_a_statement() {
    check("a\nb; c", "a\nb\nc");
    check("a\n\n;;\nb", "a\nb");
    check("return\n1", "(return)\n1");
    check_errors("a b", &["1:3 expected a line break or `;`, found `b`"]);
    check_errors("let a\n= 1", &["1:6 expected `=` and a value, found the end of the line"]);
}

#[test]
fn a_line_break_does_not_count_inside_brackets_after_operators_and_before_dot_and_else() {
    check("f(\n1\n,\n2\n)", "(call f 1 2)");
    check("[1\n-2\n]", "(list (- 1 2))");
    check("x[\n1\n:\n2\n]", "(index x (slice 1 2 _))");
    check("a +\nb", "(+ a b)");
    check("a and\nnot b", "(and a (not b))");
    check("a as\nint", "(as a int)");
    check("0 ..\nn", "(.. 0 n)");
    check("let a =\n1", "(let a 1)");
    check("a +=\n1", "(+= a 1)");
    check("fn f() ->\nint { 1 }", "(fn f () -> int {1})");
    check("P(x) <-\nQ(x),\nR(x)", "(<- (atom P x) (atom Q x) (atom R x))");
    check("x\n.softmax()\n.sum()", "(method sum (method softmax x))");
    check("if a { 1 }\nelse if b { 2 }\nelse { 3 }", "(if a {1} b {2} {3})");
}

#[test]
fn a_brace_inside_brackets_restores_the_line_break() {
    check("f(fn(x) {\nlet a = x\n-a\n})", "(call f (fn (x) {(let a x); (neg a)}))");
    check("[if a { b\nc } else { d }\n, 2]", "(list (if a {b; c} {d}) 2)");
}

#[test]
fn a_block_opens_on_the_line_of_its_head() {
    check_errors(
        "fn f()\n{ 1 }\nif a\n{ 2 }",
        &[
            "1:7 expected `{` after the function's signature, found the end of the line",
            "3:5 expected `{` after the condition, found the end of the line",
        ],
    );
}

#[test]
fn unknown_text_is_reported_once() {
    check_errors("let a = 1 § 2\nlet b = !c", &["1:11 `§` is no part of the language", "2:9 `!` is no part of the language"]);
    check_errors("x ×× y", &["1:3 `××` is no part of the language"]);
    check_errors("f('a')", &["1:3 `'` is no part of the language"]);
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_white_space() {
    check("\u{feff}let a = 1\r\nlet b = 2\r\n", "(let a 1)\n(let b 2)");
}

#[test]
fn tokens_know_what_stands_before_them() {
    let lexed = lex(FileId(0), "a (b)\n// c\nd");
    let seen: Vec<_> = lexed.tokens.iter().map(|token| (token.kind, token.newline_before, token.space_before)).collect();
    let expected = [
        (TokenKind::Ident, true, true),
        (TokenKind::OpenParen, false, true),
        (TokenKind::Ident, false, false),
        (TokenKind::CloseParen, false, false),
        (TokenKind::Ident, true, true),
        (TokenKind::Eof, false, false),
    ];
    assert_eq!(seen, expected);
    assert_eq!(lexed.comments.len(), 1);
}

#[test]
fn a_prompt_reads_on_while_a_text_is_incomplete() {
    for text in ["f(", "fn f() {", "1 +", "let a =", "/* a", "[1,", "if a { 1 } else {", "a,"] {
        assert!(is_incomplete(text), "{text}");
    }
    for text in ["", "f()", "1", "let a = 1", ")", "f(x) { }", "// a +", "\"(\""] {
        assert!(!is_incomplete(text), "{text}");
    }
}
