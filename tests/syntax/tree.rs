//! Statements, declarations, expressions and their precedence.

use crate::{check, check_errors};

#[test]
fn precedence_from_loose_to_tight() {
    check("a or b and not c == d .. e + f * -g ** h as int", "(or a (and b (not (== c (.. d (+ e (* f (neg (** g (as h int))))))))))");
    check("a || b && c", "(or a (and b c))");
    check("not a == b", "(not (== a b))");
    check("not not a", "(not (not a))");
    check("0..n + 1", "(.. 0 (+ n 1))");
    check("a - b - c", "(- (- a b) c)");
    check("a / b * c % d @ e ⊙ f", "(⊙ (@ (% (* (/ a b) c) d) e) f)");
    check("a + b @ c", "(+ a (@ b c))");
    check("a * b + c * d", "(+ (* a b) (* c d))");
    check("a < b and c >= d", "(and (< a b) (>= c d))");
}

#[test]
fn power_is_right_associative_and_tighter_than_minus() {
    check("-2 ** 2", "(neg (** 2 2))");
    check("2 ** -1", "(** 2 (neg 1))");
    check("2 ** 3 ** 4", "(** 2 (** 3 4))");
    check("2 ** -1 ** 2", "(** 2 (neg (** 1 2)))");
    check("a * -b", "(* a (neg b))");
    check("a - -b", "(- a (neg b))");
    check("-x.sum()", "(neg (method sum x))");
    check("x ** 2 as int", "(** x (as 2 int))");
}

#[test]
fn conversions() {
    check("x as float32[T, 2]", "(as x float32[T, 2])");
    check("x as int as float + 1", "(+ (as (as x int) float) 1)");
    check("-x as int", "(neg (as x int))");
}

#[test]
fn postfix() {
    check("model.blk[i].attn_q.weight", "(field weight (field attn_q (index (field blk model) i)))");
    check("model.forward(tokens, cache)", "(method forward model tokens cache)");
    check("f(x)(y)[0].z", "(field z (index (call (call f x) y) 0))");
    check("rms_norm(x, w, eps: 1e-5)", "(call rms_norm x w (eps: 1e-5))");
    check("\"{}\".format(x)", "(method format \"{}\" x)");
    check("einsum(\"ihd,jhd->ihj\", q, k)", "(call einsum \"ihd,jhd->ihj\" q k)");
    check("x.match", "(field match x)");
    check("x[]", "(index x)");
}

#[test]
fn tuples_and_parentheses() {
    check("()", "(tuple)");
    check("(a)", "(paren a)");
    check("(a, (b, c))", "(tuple a (tuple b c))");
    check("let (a, _) = (b, c)", "(let (tuple a _) (tuple b c))");
}

#[test]
fn assignments() {
    check("x = 1", "(= x 1)");
    check(
        "x += 1\nx -= 1\nx *= 2\nx /= 2\nx %= 2\nx @= w\nx **= 2",
        "(+= x 1)\n(-= x 1)\n(*= x 2)\n(/= x 2)\n(%= x 2)\n(@= x w)\n(**= x 2)",
    );
    check("self.pos = 1", "(= (field pos self) 1)");
    check("p.x[0] = 1", "(= (index (field x p) 0) 1)");
    check("let x = y\nx[i, j] = v", "(let x y)\n(= (index x i j) v)");
}

#[test]
fn functions() {
    check(
        "fn block(x: float[T, C], w: Layer, cache: Cache, i: int) -> float[T, C] { x }",
        "(fn block (x: float[T, C] w: Layer cache: Cache i: int) -> float[T, C] {x})",
    );
    check("fn f(a, b: int = 2, c = []) { return a }", "(fn f (a (= b: int 2) (= c (list))) {(return a);})");
    check(
        "fn f(x: float[...], y: q4_0[5632, ?], g: fn) -> (int, bool[]) { }",
        "(fn f (x: float[...] y: q4_0[5632, ?] g: fn) -> (tuple int bool[]) {})",
    );
    check("let f = fn(x) { x * 2 }", "(let f (fn (x) {(* x 2)}))");
    check("map(xs, fn(x: int) -> int { x })", "(call map xs (fn (x: int) -> int {x}))");
    check("fn outer() { fn inner() { 1 }\ninner() }", "(fn outer () {(fn inner () {1}); (call inner)})");
}

#[test]
fn records() {
    check(
        "struct Point { x: float, y: float = 0.0\n fn norm(self) -> float { self.x }\n }",
        "(struct Point x: float (= y: float 0.0) (fn norm (self) -> float {(field x self)}))",
    );
    check("struct Empty { }", "(struct Empty)");
}

#[test]
fn imports() {
    check("import \"lib.tl\"\nimport std.nn", "(import \"lib.tl\")\n(import std.nn)");
}

#[test]
fn loops() {
    check("while i < n { i += 1 }", "(while (< i n) {(+= i 1);})");
    check("for (i, x) in 0..n { continue }", "(for (tuple i x) (.. 0 n) {(continue);})");
    check("loop { if done { break } }", "(loop {(if done {(break);})})");
    check("for i in 0..3 { if i { return } }", "(for i (.. 0 3) {(if i {(return);})})");
}

#[test]
fn a_block_has_the_value_of_its_last_expression() {
    check("let a = if b { 1 } else { 2 } + 3", "(let a (+ (if b {1} {2}) 3))");
    check("let a = { let b = 1\nb + 1 }", "(let a {(let b 1); (+ b 1)})");
    check("fn f() { let a = 1; a; }", "(fn f () {(let a 1); a})");
    check("fn f() { g()\nlet a = 1 }", "(fn f () {(call g); (let a 1);})");
}

#[test]
fn match_arms() {
    check(
        "match x {
            0 => \"zero\"
            -1 | 1 => \"one\", 2..10 => { small() }
            \"a\" => 1.5
            true => return 1
            (a, _) if a > 0 => a,
            -2.5 => y = 3
            n => n
        }",
        "(match x (=> 0 {\"zero\"}) (=> (| -1 1) {\"one\"}) (=> (.. 2 10) {(call small)}) (=> \"a\" {1.5}) \
         (=> true {(return 1);}) (=> (tuple a _) (if (> a 0)) {a}) (=> -2.5 {(= y 3);}) (=> n {n}))",
    );
    check("let y = match f(x) { _ => 1 } + 1", "(let y (+ (match (call f x) (=> _ {1})) 1))");
}

#[test]
fn a_declaration_keeps_the_comment_above_it() {
    use tensorlogic::source::FileId;
    use tensorlogic::syntax::{ast::StmtKind, parse};
    let text = "let a = 1 // not this\n// Sums up.\n//  Twice.\nfn f() { }\n\n// far\n\nstruct S { }\n/// Slashes.\nfn g() { }\n";
    let (ast, _) = parse(FileId(0), text);
    let docs = ast.stmts.iter().filter_map(|stmt| match &stmt.kind {
        StmtKind::Fn(function) => Some(function.doc.as_deref()),
        StmtKind::Struct(decl) => Some(decl.doc.as_deref()),
        _ => None,
    });
    assert_eq!(docs.collect::<Vec<_>>(), [Some("Sums up.\n Twice."), None, Some("Slashes.")]);
}

/// Each program in `trees/` has its tree beside it. `TL_UPDATE=1` writes the trees anew.
#[test]
fn programs_have_their_trees() {
    use tensorlogic::source::FileId;
    use tensorlogic::syntax::{dump, parse};
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/syntax/trees");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tl") {
            let text = std::fs::read_to_string(&path).unwrap();
            let (ast, diagnostics) = parse(FileId(0), &text);
            assert!(diagnostics.is_empty(), "{}: {diagnostics:?}", path.display());
            let tree = path.with_extension("tree");
            if std::env::var_os("TL_UPDATE").is_some() {
                std::fs::write(&tree, dump(&ast)).unwrap();
            }
            assert_eq!(dump(&ast), std::fs::read_to_string(&tree).unwrap(), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn mut_marks_what_a_call_changes() {
    check(
        "fn put(mut c: Box, v) { }
         put(mut c, v: mut d)
         mut(mut)",
        "(fn put (mut c: Box v) {})
         (call put (mut c) (v: (mut d)))
         (call mut mut)",
    );
    check_errors("let mut x = 1", &["1:5 `let` takes no `mut`: every variable can be changed"]);
}
