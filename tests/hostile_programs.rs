//! No program can crash the process: what is wrong in one is a diagnostic.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tensorlogic::diag::Color;
use tensorlogic::lang::doc::documentation;
use tensorlogic::lang::{Interp, Options, SharedExecutor, on_deep_stack};
use tensorlogic::reference::ReferenceExecutor;

fn interp(interrupt: Option<Arc<AtomicBool>>) -> Interp {
    let executor: SharedExecutor = SharedExecutor::new(ReferenceExecutor::new());
    Interp::new(Options { executor: Some(executor), interrupt, ..Options::default() }).unwrap()
}

/// Each must end in an error that can be drawn.
const WRONG: &[&str] = &[
    "zeros([-1])",
    "zeros([9223372036854775807, 2])",
    "zeros([65536, 65536, 65536])",
    "reshape(zeros([4]), [-1, -1])",
    "reshape(zeros([0]), [0, -1])",
    "max(zeros([0]))",
    "argmax(zeros([2, 0]))",
    "softmax(zeros([]), 3)",
    "einsum(\"ij,jk\", [1.0])",
    "einsum(\"\", [1.0])",
    "einsum(\"i->ii\", [1.0])",
    "einsum(\"i,i,i,i->i\", [1.0], [1.0], [1.0], [1.0, 2.0])",
    "einsum(\"ij\")",
    "permute(eye(2), [0, 0])",
    "permute(eye(2), [5, 1])",
    "concat([])",
    "concat([zeros([2]), zeros([2, 2])])",
    "stack([zeros([2]), zeros([3])])",
    "split(zeros([3]), 0)",
    "split(zeros([3]), [1, 1])",
    "chunk(zeros([3]), 0)",
    "slice(zeros([3]), 0, 0, 3, 0)",
    "let x = zeros([3])\nx[::0]",
    "let x = zeros([3])\nx[0, 0]",
    "let x = zeros([3])\nx[9] = 1.0",
    "let x = [1, 2]\nx[0] = 1.5",
    "let x = [1, 2]\nx[0] = \"a\"",
    "let x = zeros([2, 2])\nx[0] = [1.0, 2.0, 3.0]",
    "rope(zeros([2, 3]), 0)",
    "rope(zeros([1, 1, 3]), 0)",
    "rotation(dims: 3)",
    "rotation(dims: 4, base: -1.0)",
    "attention(zeros([1, 3, 4]), zeros([1, 2, 4]), zeros([1, 2, 4]))",
    "attention(zeros([1, 2, 4]), zeros([2, 2, 4]))",
    "conv(zeros([1, 1, 2, 2]), ones([1, 1, 3, 3]))",
    "embedding([5], zeros([2, 2]))",
    "embedding([1.5], zeros([2, 2]))",
    "heads(zeros([2, 5]), 0)",
    "\"x\" * 9223372036854775807",
    "[\"x\"] * 9223372036854775807",
    "list(0..9223372036854775807)",
    "range(0, 10, 0)",
    "arange(0.0, 1e300)",
    "arange(0, 10, 0)",
    "arange(nan_of())\nfn nan_of() { 0.0 / 0.0 }",
    "clamp(1.0, 0.0 / 0.0, 1.0)",
    "int(1e300)",
    "int(\"x\")",
    "-(-9223372036854775807 - 1)",
    "div(-9223372036854775807 - 1, -1)",
    "div(1, 0)",
    "(-9223372036854775807 - 1) * -1",
    "abs(-9223372036854775807 - 1)",
    "2 ** 64",
    "1 % 0",
    "(0..3)[5]",
    "\"abc\"[7]",
    "(1, 2)[-3]",
    "\"{}\".format()",
    "\"{\".format(1)",
    "\"{:99999999999}\".format(1)",
    "\"{:.999999}\".format(1.0)",
    "\"a\".replace(\"\", \"b\")",
    "fn f() { f() }\nf()",
    "fn f(x) { g(x) }\nfn g(x) { f(x) }\nf(1)",
    "let f = fn(n) { n }\nf(1, 2)",
    "struct P { x: int }\nP { y: 1 }",
    "struct P { x: int }\nP { x: 1.5 }",
    "struct P { x: int, x: int }",
    "struct P { x: int }\nlet p = P { x: 1 }\np.x = \"s\"",
    "let (a, b) = (1, 2, 3)",
    "let (a, b) = 5",
    "for x in 5 { }",
    "if 1 { }",
    "while \"a\" { }",
    "1()",
    "print.x",
    "let x = x",
    "topk([1.0], 5)",
    "sample(zeros([0]))",
    "sample([1.0], temperature: -1.0)",
    "load_model(\"nothing.gguf\")",
    "load(\"nothing.safetensors\")",
    "read_text(\"/no/such/file\")",
    "import \"nothing.tl\"",
    "import std.nothing",
    "env(\"TL_NO_SUCH_VARIABLE\")",
    "gather([1.0], [0.5])",
    "scatter([1.0], [0, 1], [1.0])",
    "where(1, 2.0, 3.0)",
    "float64::zeros([2])",
    "f16::print(1)",
    "zeros([2]) @ 3",
    "[1.0] + \"a\"",
    "[[1, 2], [3]]",
    "cast([1.0], q4_0)",
    "assert(false)",
    "match (1, 2) { (a, a, a) => 1 }",
    "fn f(x: float[T, T]) { x }\nf(zeros([2, 3]))",
    "fn f(x: float[..., ...]) { x }\nf(zeros([2]))",
    "fn f(a, a) { a }",
    "fn f() { 1 }\nfn f() { 2 }",
    "bool[3]",
    "item([1, 2])",
    "tensor([[1, 2], [\"a\"]])",
    "cumsum(5.0, 1)",
    "transpose([1.0])",
    "squeeze(zeros([2, 3]), 1)",
    "let xs = [\"a\"]\nxs.pop()\nxs.pop()",
    "[\"a\"].push(1)",
    "one_hot([1], 3) @ zeros([2, 2])",
    "dropout([1.0], 1.5)",
];

#[test]
fn what_is_wrong_is_a_diagnostic() {
    for program in WRONG {
        on_deep_stack(|| {
            let mut interp = interp(None);
            let errors = interp.run_source("wrong.tl", program, None).err();
            let Some(errors) = errors else { panic!("no error: {program}") };
            let shown = errors[0].render(&interp.sources, Color::Never);
            assert!(shown.starts_with("error: "), "{program}: {shown}");
            let message = &errors[0].message;
            let starts_low =
                message.chars().next().is_some_and(|c| !c.is_uppercase() || message.starts_with("C is") || message.starts_with("T is"));
            assert!(starts_low && !message.ends_with('.'), "{program}: {message}");
        })
        .unwrap();
    }
}

#[test]
fn an_error_leaves_a_prompt_usable() {
    let mut interp = interp(None);
    assert_eq!(interp.run_line("let x = [1.0, 2.0]").unwrap(), None);
    assert_eq!(interp.run_line("let xs = [\"a\"]").unwrap(), None);
    assert!(interp.run_line("x @ zeros([3])").is_err());
    assert!(interp.run_line("xs.insert(7, 1)").is_err());
    assert!(interp.run_line("let y = ").is_err());
    assert_eq!(interp.run_line("x * 2").unwrap().unwrap(), "[2.0, 4.0] float32[2]");
    assert_eq!(interp.run_line("xs").unwrap().unwrap(), "[\"a\"]");
    assert_eq!(interp.run_line("fn f(n: int) { n + 1 }").unwrap(), None);
    assert_eq!(interp.run_line("x[0] = 5.0").unwrap(), None);
    assert_eq!(interp.run_line("let z = f(2)").unwrap(), None);
    assert_eq!(interp.run_line("fn f(n: int) { n + 10 }").unwrap(), None);
    assert_eq!(interp.run_line("(x, z, f(2))").unwrap().unwrap(), "([5.0, 2.0] float32[2], 3, 12)");
    assert!(interp.visible_names().contains(&"softmax".to_owned()));
}

#[test]
fn a_shallow_stack_is_enough_for_an_error() {
    let run = || interp(None).run_source("deep.tl", "fn f(n) { [f(n + 1)] }\nf(0)", None).err().unwrap()[0].message.clone();
    let message = std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
    assert!(message.contains("calls nest too deep"), "{message}");
}

#[test]
fn an_interrupt_ends_an_endless_loop() {
    let flag = Arc::new(AtomicBool::new(false));
    let setter = flag.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        setter.store(true, Ordering::Relaxed);
    });
    let started = Instant::now();
    let errors = interp(Some(flag)).run_source("loop.tl", "loop { }", None).err().unwrap();
    assert_eq!(errors[0].message, "interrupted");
    assert!(started.elapsed() < Duration::from_secs(20));
    thread.join().unwrap();
}

/// A generator of random expressions and statements over the whole library.
struct Writer {
    state: u64,
    functions: Vec<String>,
}

impl Writer {
    fn next(&mut self, n: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % n as u64) as usize
    }

    fn pick(&mut self, from: &[&str]) -> String {
        from[self.next(from.len())].to_owned()
    }

    fn leaf(&mut self) -> String {
        if self.next(5) < 3 {
            return self.pick(&["x", "m", "x", "m", "0", "1", "2", "n", "zeros([2, 2])"]);
        }
        self.pick(&[
            "x",
            "m",
            "s",
            "xs",
            "t",
            "n",
            "b",
            "0",
            "1",
            "-1",
            "2",
            "3",
            "2.5",
            "0.0",
            "-1e30",
            "true",
            "\"ij,jk->ik\"",
            "\"{} {:.2}\"",
            "[]",
            "()",
            "(1, 2)",
            "[1, 0]",
            "[2, 2]",
            "0..2",
            "zeros([0, 3])",
            "zeros([])",
            "float32",
            "P { v: 1 }",
            "p",
            "9223372036854775807",
            "int32",
            "f",
            "fn(a) { a }",
            "r",
        ])
    }

    fn expr(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.leaf();
        }
        match self.next(12) {
            0..3 => self.leaf(),
            3..5 => {
                let op = self.pick(&["+", "-", "*", "/", "%", "@", "**", "==", "<", "and", ".."]);
                format!("({} {op} {})", self.expr(depth - 1), self.expr(depth - 1))
            }
            5 => format!("{}[{}]", self.expr(depth - 1), self.index(depth - 1)),
            6 => {
                let end =
                    self.pick(&[".shape", ".T", ".v", ".len()", ".sum()", ".reverse()", ".get(1)", ".format(x, 1)", ".push(1)", ".pop()"]);
                format!("{}{end}", self.expr(depth - 1))
            }
            7 => format!("(-{})", self.expr(depth - 1)),
            8 => {
                let ty = self.pick(&["int", "float", "float16[?]", "float32[...]", "int32[A, A]", "string"]);
                format!("({} as {ty})", self.expr(depth - 1))
            }
            9 => format!("[{}, {}]", self.expr(depth - 1), self.expr(depth - 1)),
            _ => {
                let at = self.next(self.functions.len());
                let name = self.functions[at].clone();
                let args: Vec<String> = (0..1 + self.next(3)).map(|_| self.expr(depth - 1)).collect();
                format!("{name}({})", args.join(", "))
            }
        }
    }

    fn index(&mut self, depth: usize) -> String {
        match self.next(4) {
            0 => format!("{}:{}", self.expr(depth), self.leaf()),
            1 => self.pick(&["::-1", ":", "0, 1", "::2, 0", "-1", "0"]),
            _ => self.expr(depth),
        }
    }

    fn statement(&mut self) -> String {
        match self.next(8) {
            0 => format!("{} = {}", self.pick(&["x", "m", "n", "xs", "p.v", "p"]), self.expr(1)),
            1 => format!("{}[{}] = {}", self.pick(&["x", "m", "xs"]), self.index(1), self.expr(1)),
            2 => format!("{} += {}", self.pick(&["x", "m", "n", "s", "xs"]), self.expr(1)),
            3 => format!("for i in {} {{ let q = i\n break }}", self.expr(1)),
            4 => format!("if {} {{ {} }} else {{ {} }}", self.expr(1), self.expr(1), self.expr(1)),
            5 => format!("match {} {{ 1 => 1, (a, b) => a, _ => {} }}", self.expr(1), self.expr(1)),
            _ => format!("print({})", self.expr(2)),
        }
    }
}

/// What random programs may not do: wait for input, or write files.
const NOT_CALLED: &[&str] = &["input", "write_text", "save", "time"];

#[test]
fn random_programs_do_not_crash() {
    let start = "let x = [1.0, 2.0]\nlet m = [[1, 2], [3, 4]]\nlet s = \"abc\"\nlet xs = [\"a\", 1]\nlet t = (1, \"b\")\nlet n = 3\nlet b = true\n\
                 struct P { v: int }\nlet p = P { v: 2 }\nfn f(a: float[T, C], b = 1) { a @ a + b }\nlet r = rotation(dims: 4)\n";
    let functions: Vec<String> = documentation()
        .into_iter()
        .map(|e| e.name)
        .filter(|n| !n.contains('.') && !NOT_CALLED.contains(&n.as_str()))
        .chain(["f".into()])
        .collect();
    let mut writer = Writer { state: 0x9e37_79b9_7f4a_7c15, functions };
    let mut ran = 0;
    for _ in 0..3000 {
        let statements: Vec<String> = (0..2).map(|_| writer.statement()).collect();
        let program = format!("{start}{}\n", statements.join("\n"));
        let outcome = std::panic::catch_unwind(|| on_deep_stack(|| interp(None).run_source("random.tl", &program, None).is_ok()).unwrap());
        ran += usize::from(outcome.unwrap_or_else(|_| panic!("a panic in:\n{program}")));
    }
    assert!(ran > 100, "only {ran} programs ran to their end");
}
