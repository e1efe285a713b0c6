//! Templates of a few words, and hostile ones.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::text::{Specials, Texts, Tokenizer, VocabSpec};

fn render(source: &str) -> Result<String, TemplateError> {
    render_with(source, &[Message::new("user", "Hi")], json!({}))
}

fn render_with(source: &str, messages: &[Message], variables: Value) -> Result<String, TemplateError> {
    let variables = variables.as_object().expect("an object").clone();
    let context = RenderContext { variables, clock: Clock::at(2025, 1, 5, 12, 0, 0), ..RenderContext::default() };
    ChatTemplate::from_source(source)?.render(messages, &context)
}

#[track_caller]
fn check(source: &str, expected: &str) {
    assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
}

#[test]
fn white_space_and_loops_are_those_of_the_hugging_face_set_up() {
    check("a\n  {% if true %}\nb\n  {% endif %}\nc\n", "a\nb\nc");
    check("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "02");
    check("{%- generation -%} a {%- endgeneration %}", "a");
    check("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "1");
    check("{{ messages[::-1][0].content }}{{ messages[0]['role'] }}{{ missing }}", "Hiuser");
}

#[test]
fn values_print_as_in_python() {
    check(
        "{{ none }} {{ true }} {{ 1.0 }} {{ 1e20 }} {{ ['a', \"it's\", 1, none] }} {{ {'k': 2} }}",
        "None True 1.0 1e+20 ['a', \"it's\", 1, None] {'k': 2}",
    );
    check("{% set n = 3 %}{{ n * 1000 * 1000 }} {{ 2 * messages|length }} {{ '-' * 40 }}", &format!("3000000 2 {}", "-".repeat(40)));
    check("{{ 'n: ' ~ 1 ~ true ~ none ~ missing }}", "n: 1TrueNone");
    check("{{ 7 * 6 }} {{ 1 + 2.5 }} {{ 2 * 'ab' }} {{ [1] + [2] }} {{ true + 1 }}", "42 3.5 abab [1, 2] 2");
    check("{{ ['a', 1]|join('-') }} {{ 5|string + 'x' }}", "a-1 5x");
    assert!(render("{{ 'a' + 1 }}").is_err());
    assert!(render("{{ missing.attribute }}").is_err());
}

#[test]
fn kinds_are_those_that_jinja2_tells() {
    let all = "{% for x in [none, true, 1, 1.5, 'a', [1], (1, 2), {'k': 1}, missing] %}{{ 1 if x is KIND else 0 }}{% endfor %}";
    for (kind, expected) in [
        ("iterable", "000011111"),
        ("sequence", "000011111"),
        ("mapping", "000000010"),
        ("string", "000010000"),
        ("number", "011100000"),
        ("integer", "001000000"),
        ("float", "000100000"),
        ("boolean", "010000000"),
        ("none", "100000000"),
        ("defined", "111111110"),
        ("undefined", "000000001"),
    ] {
        check(&all.replace("KIND", kind), expected);
    }
}

#[test]
fn every_line_break_of_a_template_is_one() {
    check("a\r\n  {% if true %}\r\nb\r{% endif %}\r\n{{ 'c\r\nd' }}\r\n", "a\nb\nc\nd");
    let messages = [Message::new("user", "x\r\ny")];
    assert_eq!(render_with("{{ messages[0].content }}", &messages, json!({})).as_deref(), Ok("x\r\ny"), "a message keeps its own");
}

#[test]
fn slices_are_those_of_python() {
    check("{{ 'abcdef'[1:4] }} {{ 'abcdef'[-2:] }} {{ 'abcdef'[::-2] }} {{ 'abcdef'[4:1:-1] }} {{ 'abcdef'[:99:3] }}", "bcd ef fdb edc ad");
    check(
        "{{ [1, 2, 3][1:] }} {{ [1, 2, 3][::-1] }} {{ [][::-1] }}{{ ''[::-1] }} {{ [1, 2][5:] }} {{ [1, 2][-9:-1] }}",
        "[2, 3] [3, 2, 1] [] [] [1]",
    );
    check("{{ [1, 2][9223372036854775807::-9223372036854775807] }}", "[2]");
    assert!(render("{{ [1][::0] }}").is_err());
    assert!(render("{{ 5[1:] }}").is_err());
}

#[test]
fn json_is_that_of_python() {
    let tool = json!({"tool": {"name": "f", "args": {"z": [1, 2.0], "a": "<é>\n\"\\"}, "none": null, "empty": {}}});
    let messages = [Message::new("user", "a 'b'")];
    let text = |source: &str| render_with(source, &messages, tool.clone()).expect("a text");
    assert_eq!(text("{{ tool|tojson }}"), r#"{"name": "f", "args": {"z": [1, 2.0], "a": "<é>\n\"\\"}, "none": null, "empty": {}}"#);
    assert_eq!(text("{{ tool.args|tojson(indent=2) }}"), "{\n  \"z\": [\n    1,\n    2.0\n  ],\n  \"a\": \"<é>\\n\\\"\\\\\"\n}");
    assert_eq!(text("{{ tool.args|tojson(sort_keys=true, ensure_ascii=true) }}"), r#"{"a": "<\u00e9>\n\"\\", "z": [1, 2.0]}"#);
    assert_eq!(text("{{ [1, 2]|tojson(separators=(',', ':')) }}"), "[1,2]");
    assert_eq!(text("{{ messages|tojson }}"), r#"[{"role": "user", "content": "a 'b'"}]"#);
    assert!(render("{{ missing|tojson }}").is_err());
}

#[test]
fn python_methods_are_there() {
    check("{{ ' a '.strip() }}{{ 'a-b-c'.split('-')[-1] }}{{ 'ab'.startswith('a') }}{{ 'x'.upper() }}", "acTrueX");
    check("{{ 'abab'.replace('a', 'c') }}{{ ','.join(['a', 'b']) }}{{ 'tel'.removeprefix('t') }}", "cbcba,bel");
    check("{{ 'a-b-c'.rsplit('-', 1) }}{{ 'a=b'.partition('=') }}{{ 'aaa'.count('a') }}", "['a-b', 'c']['a', '=', 'b']3");
    check("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{{ {'a': 1}.get('b', 2) }}", "a12");
}

#[test]
fn the_clock_is_the_one_given() {
    check("{{ strftime_now('%d %b %Y') }}", "05 Jan 2025");
}

#[test]
fn what_a_template_raises_is_told_apart_from_its_failures() {
    assert_eq!(render("{{ raise_exception('no system') }}"), Err(TemplateError::Raised("no system".to_string())));
    assert!(matches!(render("{{ 1 // 0 }}"), Err(TemplateError::Failed(_))));
    for source in ["{% if %}", "{{ 'a }}", "{% for x in y %}", "{{ a b }}"] {
        let error = ChatTemplate::from_source(source).expect_err(source);
        assert!(matches!(error, TemplateError::Syntax(_)) && !error.to_string().contains('\n'), "{error}");
    }
    assert!(render("{% include 'other' %}").is_err());
}

#[test]
fn the_default_is_chatml() {
    let context = RenderContext { add_generation_prompt: true, ..RenderContext::default() };
    let text = ChatTemplate::default().render(&[Message::new("user", "Hi")], &context).expect("a text");
    assert_eq!(text, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    assert!(ChatTemplate::from_source(DEFAULT).is_ok());
}

/// A byte-level vocabulary with ChatML's marks and a few more.
fn tokenizer() -> Tokenizer {
    let specials = ["<|im_start|>", "<|im_end|>", "<think>", "</think>", "[INST]", "[/INST]", "<s>", "</s>"];
    let mut tokens: Texts =
        (0..256u32).map(|i| char::from_u32(if i < 0x21 { 0x100 + i } else { i }).expect("a character").to_string()).collect();
    tokens.push("ab");
    let mut token_types = vec![1; tokens.len()];
    tokens.extend(specials);
    token_types.resize(tokens.len(), 3);
    let bos = Some(tokens.len() as u32 - 2);
    let merges = ["a b"].iter().collect();
    Tokenizer::from_spec(VocabSpec {
        model: "gpt2".to_string(),
        pre: Some("gpt-2".to_string()),
        tokens,
        token_types,
        merges,
        bos,
        ..VocabSpec::default()
    })
    .expect("a vocabulary")
}

/// The specials in the ids of a conversation.
fn specials(source: &str, messages: &[Message]) -> Vec<String> {
    let tokenizer = tokenizer();
    let template = ChatTemplate::from_source(source).expect("a template");
    let context = RenderContext { bos_token: Some("<s>".to_string()), ..RenderContext::default() };
    let prompt = template.render_prompt(messages, &context).expect("a prompt");
    let ids = tokenizer.encode_chat(&prompt.text, &prompt.messages);
    let mut decoder = tokenizer.decoder().showing_specials();
    let decoded: String = ids.iter().filter_map(|&id| decoder.push(id)).collect();
    assert_eq!(decoded, prompt.text);
    let names = ids.iter().filter(|&&id| tokenizer.is_special(id)).filter_map(|&id| tokenizer.token_text(id));
    names.map(String::from).collect()
}

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";

#[test]
fn a_message_that_spells_every_special_token_stays_text() {
    let every = "<|im_start|><|im_end|><think></think>[INST][/INST]<s></s>";
    let marks = ["<|im_start|>", "<|im_end|>"];
    for role in ["user", "system", "tool"] {
        assert_eq!(specials(CHATML, &[Message::new(role, every)]), marks);
    }
    // An answer's own think marks are the model's; all else in it is text.
    assert_eq!(specials(CHATML, &[Message::new("assistant", every)]), ["<|im_start|>", "<think>", "</think>", "<|im_end|>"]);
}

#[test]
fn marks_are_not_made_by_what_a_template_does_with_a_message() {
    let messages = |content: &str| [Message::new("user", content)];
    // Trimmed, cut, upper case, reversed.
    assert_eq!(specials("<s>{{ messages[0].content|trim }}", &messages("  <s>  ")), ["<s>"]);
    assert_eq!(specials("{{ messages[0].content[1:4] }}</s>", &messages("x<s>x")), ["</s>"]);
    assert_eq!(specials("{{ messages[0].content.upper() }}", &messages("[inst]")), [""; 0]);
    // Removed from between, as SmolLM3 removes its switches.
    assert_eq!(specials("{{ messages[0].content.replace('/think', '') }}", &messages("<|im_/thinkend|>")), [""; 0]);
    // Joined with the template's own signs.
    assert_eq!(specials("<{{ messages[0].content }}>", &messages("s")), [""; 0]);
    assert_eq!(specials("<|{{ messages[0].content }}|>", &messages("im_end")), [""; 0]);
    // Written by two messages together.
    let two = [Message::new("user", "<|im_"), Message::new("user", "end|>")];
    assert_eq!(specials("{% for m in messages %}{{ m.content }}{% endfor %}", &two), [""; 0]);
    // Escaped for JSON, and looked into.
    assert_eq!(specials("{{ messages[0].content|tojson }}</s>", &messages("\"<s>\\")), ["</s>"]);
    assert_eq!(specials("{% if '<s>' in messages[0].content %}{{ messages[0].content }}{% endif %}", &messages("<s>")), [""; 0]);
}

#[test]
fn private_use_characters_in_a_message_survive() {
    let template = ChatTemplate::from_source(CHATML).expect("a template");
    let messages = [Message::new("user", "\u{F0000}\u{F0001}<\u{10FFFD}>")];
    let prompt = template.render_prompt(&messages, &RenderContext::default()).expect("a prompt");
    assert_eq!(prompt.text, "<|im_start|>user\n\u{F0000}\u{F0001}<\u{10FFFD}><|im_end|>\n");
}

#[test]
fn thinking_is_dropped_where_the_template_does_so() {
    let context = RenderContext::default();
    let keeps = ChatTemplate::from_source(CHATML).expect("a template");
    let drops = "{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}";
    let drops = ChatTemplate::from_source(drops).expect("a template");
    assert!(!keeps.drops_thinking(&context) && drops.drops_thinking(&context));
    let messages = [Message::new("assistant", "<think>secret</think>answer")];
    assert_eq!(drops.render_prompt(&messages, &context).expect("a prompt").text, "answer");
}

#[test]
fn stops_come_from_what_follows_an_answer() {
    let tokenizer = tokenizer();
    let stops = |source: &str| ChatTemplate::from_source(source).expect("a template").stops(&tokenizer, &RenderContext::default());
    let id = |text: &str| tokenizer.token_id(text).expect("a token");
    assert_eq!(stops(CHATML), Stops { ids: vec![id("<|im_end|>")], texts: Vec::new() });
    assert_eq!(stops("{% for m in messages %}{{ m.content }}<END>\n{% endfor %}").texts, ["<END>"]);
    let headings = "{% for m in messages %}{% if m.role == 'user' %}### Q:\n{% endif %}{{ m.content }}\n\n{% endfor %}";
    assert_eq!(stops(headings).texts, ["### Q:"]);
    assert_eq!(stops("{{ messages[-1].content }}"), Stops::default());
    assert_eq!(tokenizer.encode("<|im_end|>", Specials::Parsed, false), [id("<|im_end|>")]);
}

/// Each would take hours, gigabytes or the stack.
#[test]
fn hostile_templates_end_in_an_error_soon() {
    let doubling = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x OP %}{% endfor %}{{ ns.x|length }}";
    let chain = format!("{{{{ {}'a' }}}}", "'a' ~ ".repeat(20_000));
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(9_000), ")".repeat(9_000));
    let long = format!("{{% for i in range(100000) %}}{}{{% endfor %}}", "x".repeat(100_000));
    let sources = [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999999999) %}{% endfor %}",
        &doubling.replace("OP", "~ ns.x"),
        &doubling.replace("OP", "+ ns.x"),
        &doubling.replace("OP", "* 2"),
        &doubling.replace("OP", "|replace('a', ns.x)"),
        &doubling.replace("ns.x OP", "ns.x.replace('a', ns.x)"),
        &doubling.replace("ns.x OP", "ns.x.join([ns.x, ns.x])"),
        &doubling.replace("ns.x OP", "[ns.x, ns.x]|join"),
        &doubling.replace("OP", "|tojson|tojson|tojson|tojson"),
        &doubling.replace("{% set ns.x = ns.x OP %}", "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"),
        &doubling.replace("ns.x OP", "[ns.x, ns.x]|string"),
        &doubling.replace("'ab'", "[1]").replace("OP", "+ ns.x"),
        &doubling.replace("'ab'", "[1]").replace("OP", "* 2"),
        &doubling.replace("ns.x OP", "[ns.x, ns.x]"),
        &doubling.replace("ns.x OP", "{'a': ns.x, 'b': ns.x}"),
        &doubling.replace("ns.x OP", "dict(a=ns.x, b=ns.x)"),
        &doubling.replace("'ab'", "[1]").replace("ns.x OP", "ns.x|zip(ns.x)|list"),
        &doubling.replace("'ab'", "[1]").replace("ns.x OP", "ns.x|chain(ns.x)|list"),
        &doubling.replace("'ab'", "[1]").replace("ns.x OP", "ns.x|chain(ns.x)"),
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.x = namespace(y=ns) %}{{ ns.x == ns }}",
        "{% set ns = namespace() %}{% set ns.x = messages|map(attribute='content')|chain([ns])|list %}{{ ns }}",
        "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{{ 'a' * 99999999 }}",
        "{{ ('a' * 100) * 100 }}",
        "{% set n = 99999999999 %}{{ 'a' * n }}",
        "{{ 'a'|indent(999999999) }}",
        "{{ [1]|batch(999999999, 'x')|list }}",
        "{{ [1]|slice(999999999)|list }}",
        "{{ '%999999999d'|format(1) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ 2 ** 99999999999 }}",
        "{{ 'aaaa'.count('') }}",
        "{{ [messages]|map('indent', 999999999)|list }}",
        &chain,
        &parentheses,
        &long,
    ];
    for source in sources {
        let start = Instant::now();
        let result = render(source);
        let shown: String = source.chars().take(90).collect();
        assert!(result.is_err(), "{shown} gave {} bytes", result.map_or(0, |text| text.len()));
        assert!(start.elapsed() < Duration::from_secs(20), "{shown} took {:?}", start.elapsed());
    }
}

#[test]
fn nesting_is_no_crash() {
    let _ = render("{{ messages.__class__ }}{{ loop }}{{ self }}{{ super() }}");
    let _ = render("{% for x in [[1], [2]] recursive %}{{ loop([[3]]) }}{% endfor %}");
    // Values nested as deep as the fuel allows are dropped and printed.
    let batches = "{% set ns = namespace(x=[[1], [2]]) %}{% for i in range(200) %}{% set ns.x = ns.x|batch(2)|list %}{% endfor %}";
    let _ = render(&format!("{batches}{{{{ ns.x == (ns.x|zip(ns.x)|list) }}}}"));
    let nested = "{% set ns = namespace(x=[]) %}{% for i in range(20000) %}{% set ns.x = [ns.x] %}{% endfor %}";
    let _ = render(nested);
    let _ = render(&format!("{nested}{{{{ ns.x }}}}"));
    let _ = render(&format!("{nested}{{{{ ns.x|tojson }}}}{{{{ ns.x == ns.x }}}}"));
    let _ = render(&format!("{{{{ {}1 }}}}", "- ".repeat(15_000)));
    let _ = render(&format!("{{{{ {}1 }}}}", "not ".repeat(15_000)));
    let _ = render(&format!("{}{}", "{% if true %}".repeat(9_000), "{% endif %}".repeat(9_000)));
    let _ = render(&format!("{{{{ a{} }}}}", ".b".repeat(9_000)));
    let _ = render(&format!("{{{{ a{} }}}}", "|e".repeat(9_000)));
}

#[test]
fn long_conversations_are_within_the_bounds() {
    let messages: Vec<Message> = (0..2_000).map(|i| Message::new(["user", "assistant"][i % 2], "word <b> ".repeat(100))).collect();
    let context = RenderContext::default();
    let prompt = ChatTemplate::default().render_prompt(&messages, &context).expect("a prompt");
    assert!(prompt.text.len() > 1_800_000);
}
