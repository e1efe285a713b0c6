//! What earlier implementations read wrongly, and each doubt of the language with its rule. One test a trap.

use crate::{check, check_errors};

#[test]
fn a_keyword_is_a_whole_word() {
    check("letter = returned + inv_freq", "(= letter (+ returned inv_freq))");
    check("let iffy = fnord", "(let iffy fnord)");
    check("notable = trueish", "(= notable trueish)");
    check("asx = in_x + or_y", "(= asx (+ in_x or_y))");
}

#[test]
fn a_minus_on_the_next_line_starts_a_statement() {
    check("let a = 1\n-b", "(let a 1)\n(neg b)");
}

#[test]
fn a_parenthesis_on_the_next_line_is_no_call() {
    check("let a = x\n(b + 1)", "(let a x)\n(paren (+ b 1))");
    check("let a = x\n[b]", "(let a x)\n(list b)");
}

#[test]
fn a_call_and_an_operator_are_the_last_expression() {
    check("fn f(a, b) { relu(a) + b }", "(fn f (a b) {(+ (call relu a) b)})");
    check(
        "fn f(x: float16[?, ?]) -> float16[?, ?] { x * sigmoid(x) }",
        "(fn f (x: float16[?, ?]) -> float16[?, ?] {(* x (call sigmoid x))})",
    );
}

#[test]
fn record_literals() {
    check("let p = Point { x: 1, y: 2 }", "(let p (record Point (x: 1) (y: 2)))");
    check("Point { x: 1\ny: 2\n}", "(record Point (x: 1) (y: 2))");
    check("Point { x: 1,\ny: 2,\n}.norm()", "(method norm (record Point (x: 1) (y: 2)))");
    check("Point { x, y }", "(record Point (x: x) (y: y))");
    check("f(Point { x: 1 }, Empty {})", "(call f (record Point (x: 1)) (record Empty))");
}

#[test]
fn slices_have_bounds() {
    check("x[0:4, :, ::2]", "(index x (slice 0 4 _) (slice _ _ _) (slice _ _ 2))");
    check("x[1:], x[:n]".split(", ").next().unwrap_or_default(), "(index x (slice 1 _ _))");
    check("x[:n]", "(index x (slice _ n _))");
    check("x[a:b:c]", "(index x (slice a b c))");
    check("x[-3:-1]", "(index x (slice (neg 3) (neg 1) _))");
    check("x[i + 1:n - 1]", "(index x (slice (+ i 1) (- n 1) _))");
}

#[test]
fn an_index_is_an_expression() {
    check("t[i + 1]", "(index t (+ i 1))");
    check("x[-1]", "(index x (neg 1))");
    check("x[f(a), y[0]]", "(index x (call f a) (index y 0))");
}

#[test]
fn an_exponent_may_be_negative() {
    check("let eps = 1e-5", "(let eps 1e-5)");
}

#[test]
fn range_is_a_call_like_any_other() {
    check("for i in range(n) { i }", "(for i (call range n) {i})");
}

#[test]
fn trailing_commas() {
    check("f(1, 2,)", "(call f 1 2)");
    check("[1, 2,\n]", "(list 1 2)");
    check("(1, 2,)", "(tuple 1 2)");
    check("(1,)", "(tuple 1)");
    check("fn f(a, b,) { }", "(fn f (a b) {})");
    check("x[1, 2,]", "(index x 1 2)");
    check("let x: float[T, C,] = y", "(let x : float[T, C] y)");
}

#[test]
fn else_if() {
    check("if a { 1 } else if b { 2 } else if c { 3 } else { 4 }", "(if a {1} b {2} c {3} {4})");
}

#[test]
fn a_string_times_a_number() {
    check("\"=\" * 20", "(* \"=\" 20)");
    check("print(\"=\" * 20)", "(call print (* \"=\" 20))");
}

#[test]
fn a_list_of_numbers_is_one_literal() {
    check("[1.0, 2.0]", "(list 1.0 2.0)");
    check("[[1, 2], [3, 4]]", "(list (list 1 2) (list 3 4))");
    check("[]", "(list)");
}

#[test]
fn a_named_dimension_reaches_the_call() {
    check("softmax(x, 0)", "(call softmax x 0)");
    check("softmax(x, dim: 0)", "(call softmax x (dim: 0))");
    check("x.split(2, dim: -1)", "(method split x 2 (dim: (neg 1)))");
}

#[test]
fn an_unknown_call_is_a_call_and_never_a_fact() {
    check("Parent(alice, bob)", "(call Parent alice bob)");
    check("relation Parent(x, y)\nParent(alice, bob)", "(relation Parent x y)\n(call Parent alice bob)");
}

#[test]
fn less_than_minus_one_is_no_arrow() {
    check("x <- 1", "(< x (neg 1))");
    check("x<-1", "(< x (neg 1))");
    check("if f(x) <- 1 { }", "(if (< (call f x) (neg 1)) {})");
    check("let b = f(x) <- 1", "(let b (< (call f x) (neg 1)))");
    check("P(x) <- Q(x)", "(<- (atom P x) (atom Q x))");
    check("P(x)<-Q(x)", "(<- (atom P x) (atom Q x))");
    check("x[0] <- 1", "(< (index x 0) (neg 1))");
    check("f(x) < -1", "(< (call f x) (neg 1))");
    check_errors("f(x) <- 1", &["1:9 a rule's condition is neither an atom nor a comparison"]);
}

#[test]
fn two_colons_in_an_index_are_an_empty_bound() {
    check("x[n::2]", "(index x (slice n _ 2))");
    check("f16::zeros([2, 3])", "(call f16::zeros (list 2 3))");
    check("x[f(f16::one)]", "(index x (call f f16::one))");
    check("f(a: b, c: d::e)", "(call f (a: b) (c: d::e))");
}

#[test]
fn a_prime_continues_a_name_and_a_dot_marks_an_index() {
    check(
        "Comp[p, p'.] = softmax(Query[p, d] Key[p', d] / sqrt(Dk))",
        "(equation (index Comp p p'.) (call softmax (/ (join (index Query p d) (index Key p' d)) (call sqrt Dk))))",
    );
    check("Y[i., j] = X[i, j]", "(equation (index Y i. j) (index X i j))");
    check("Y[i] = X[i.]", "(equation (index Y i) (index X i.))");
    check("let y = x[p'.size]", "(let y (index x (field size p')))");
}

#[test]
fn a_head_holds_no_bare_record() {
    check("if p { x }", "(if p {x})");
    check("for a in b { c }", "(for a b {c})");
    check("while p { x }", "(while p {x})");
    check("match p { x => y }", "(match p (=> x {y}))");
    check("if (P { x: 1 }).x { y }", "(if (field x (paren (record P (x: 1)))) {y})");
    check("if f(P { x: 1 }) { y }", "(if (call f (record P (x: 1))) {y})");
    check_errors("if p { x: 1 }", &["1:9 expected a line break or `;`, found `:`"]);
}

#[test]
fn a_call_or_index_has_no_space_before_its_bracket() {
    check_errors("f (x)", &["1:3 a call has no space before its bracket"]);
    check_errors("a [i]", &["1:3 an index has no space before its bracket"]);
    check_errors("[a [i]]", &["1:4 an index has no space before its bracket"]);
    check("(f)(x)", "(call (paren f) x)");
    check("return (x)", "(return (paren x))");
}

#[test]
fn juxtaposition_is_a_product_in_equations_alone() {
    check("Y[i] = W[i, k] X[k]", "(equation (index Y i) (join (index W i k) (index X k)))");
    check("Y[i] = 2 X[i] (A[i] + B[i])", "(equation (index Y i) (join (join 2 (index X i)) (paren (+ (index A i) (index B i)))))");
    check("Y[i] = f (X[i])", "(equation (index Y i) (join f (paren (index X i))))");
    check("Y[i] = A[i] X[i] ** 2 + b", "(equation (index Y i) (+ (join (index A i) (** (index X i) 2)) b))");
    check("Y[i] = a * B[i] C[i]", "(equation (index Y i) (join (* a (index B i)) (index C i)))");
    check("Y[i] = A[i] B[i] / c", "(equation (index Y i) (/ (join (index A i) (index B i)) c))");
    check("Y[i] = a / (b C[i])", "(equation (index Y i) (/ a (paren (join b (index C i)))))");
    check("Y[i] = A[i]\nB[i]", "(equation (index Y i) (index A i))\n(index B i)");
    check("Y[i] = A[i] *\nB[i]", "(equation (index Y i) (* (index A i) (index B i)))");
    check_errors("Y[i] = a / b C[i]", &["1:14 a product without a sign after `/`"]);
    check_errors("let y = W[i, k] X[k]", &["1:17 expected a line break or `;`, found `X`"]);
    check_errors("Y[i] = a [i]", &["1:10 an index has no space before its bracket"]);
}

#[test]
fn scope_is_lexical_for_what_an_index_assignment_means() {
    check("let x = f()\nx[0] = 1", "(let x (call f))\n(= (index x 0) 1)");
    check("x[0] = 1\nlet x = f()", "(equation (index x 0) 1)\n(let x (call f))");
    check("fn g(x) { x[0] = 1 }\nx[0] = 1", "(fn g (x) {(= (index x 0) 1);})\n(equation (index x 0) 1)");
    check("if a { let x = b\nx[i] = 1 }\nx[i] = 1", "(if a {(let x b); (= (index x i) 1);})\n(equation (index x i) 1)");
    check("for x in xs { x[i] = 1 }", "(for x xs {(= (index x i) 1);})");
    check("match a { (x, _) => x[i] = 1 }", "(match a (=> (tuple x _) {(= (index x i) 1);}))");
    check("match a { x => 1, y => x[i] = 1 }", "(match a (=> x {1}) (=> y {(equation (index x i) 1);}))");
    check("let (a, b) = c\nb[i] = 1", "(let (tuple a b) c)\n(= (index b i) 1)");
}

#[test]
fn a_function_sees_the_variables_of_its_file() {
    check("fn g() { x[0] = 1 }\nlet x = f()", "(fn g () {(= (index x 0) 1);})\n(let x (call f))");
    check("main { x[0] = 1 }\nlet x: float[2] = f()", "(main {(= (index x 0) 1);})\n(let x : float[2] (call f))");
    check("fn g() { let x = 1 }\nfn h() { x[0] = 1 }", "(fn g () {(let x 1);})\n(fn h () {(equation (index x 0) 1);})");
}
