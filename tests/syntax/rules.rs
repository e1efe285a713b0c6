//! Tensor equations, relations and learning.

use crate::{check, check_errors};
use tensorlogic::diag::Severity;
use tensorlogic::source::FileId;
use tensorlogic::syntax::{dump, parse_after};

#[test]
fn relations_facts_rules_and_queries() {
    check(
        "relation Parent(x, y)
         Parent(alice, \"Bob\")
         Ancestor(x, z) <- Parent(x, z)
         Ancestor(x, z) <- Ancestor(x, y), Parent(y, z)
         Ancestor(alice, x)?
         entity alice, bob",
        "(relation Parent x y)
         (call Parent alice \"Bob\")
         (<- (atom Ancestor x z) (atom Parent x z))
         (<- (atom Ancestor x z) (atom Ancestor x y) (atom Parent y z))
         (? (call Ancestor alice x))
         (entity alice bob)",
    );
}

#[test]
fn a_rule_negates_and_compares() {
    check("P(x) <- Q(x, y), not R(y), x != y, y > -1", "(<- (atom P x) (atom Q x y) (not (atom R y)) (!= x y) (> y (neg 1)))");
    check_errors("P(x) <- x + 1", &["1:9 a rule's condition is neither an atom nor a comparison"]);
    check_errors("P(x) <- not x", &["1:13 a rule's condition is neither an atom nor a comparison"]);
    check_errors("P(x: 1) <- Q(x)", &["1:1 a rule's head is no atom"]);
    check_errors("P(x) <- Q(x),", &["1:14 expected an expression, found the end of the file"]);
}

#[test]
fn a_query_is_an_expression() {
    check("let found = Ancestor(alice, x)?", "(let found (? (call Ancestor alice x)))");
    check("for row in P(x)? { print(row) }", "(for row (? (call P x)) {(call print row)})");
    check("Y[i]?", "(? (index Y i))");
    check_errors("x?", &["1:2 `?` asks a relation"]);
}

#[test]
fn equations() {
    check("Y[i] = step(W[i, k] X[k])", "(equation (index Y i) (call step (join (index W i k) (index X k))))");
    check("Loss[] = (Y[i] - T[i]) ** 2", "(equation (index Loss) (** (paren (- (index Y i) (index T i))) 2))");
    check("Y[i] max= X[i, j]", "(equation-max (index Y i) (index X i j))");
    check("Y[i] min= X[i, j]\nY[i] avg=\nX[i, j]", "(equation-min (index Y i) (index X i j))\n(equation-avg (index Y i) (index X i j))");
    check(
        "X[i, *t + 1] = sig(W[i, j] X[j, *t] + U[i, j] In[j, t])".replace("+ 1]", "+1]").as_str(),
        "(equation (index X i (+ *t 1)) (call sig (+ (join (index W i j) (index X j *t)) (join (index U i j) (index In j t)))))",
    );
    check(
        "F[x, y] = relu(K[dx, dy, c] Im[x+dx, y+dy, c])",
        "(equation (index F x y) (call relu (join (index K dx dy c) (index Im (+ x dx) (+ y dy) c))))",
    );
    check("P[x/S, y/S] = F[x, y]", "(equation (index P (/ x S) (/ y S)) (index F x y))");
    check("Y[(i), k] = X[k, 0]", "(equation (index Y (paren i) k) (index X k 0))");
    check("E[p, d] = Emb[Tok[p], d]", "(equation (index E p d) (index Emb (index Tok p) d))");
    check("A[x, z] = Sister[x, y] Parent[y, z]", "(equation (index A x z) (join (index Sister x y) (index Parent y z)))");
}

#[test]
fn an_operator_before_the_equals_sign_of_an_equation_is_an_error() {
    check_errors("Y[i] += X[i]", &["1:6 `+=` after the equation's left side"]);
    check("let Y = zeros([2])\nY[0] += 1", "(let Y (call zeros (list 2)))\n(+= (index Y 0) 1)");
}

#[test]
fn an_equation_in_a_block() {
    check("test t { Y[i] = X[i] Z[i]\nY }", "(test t {(equation (index Y i) (join (index X i) (index Z i))); Y})");
    check(
        "let f = fn(X) { X[0] = 1\nY[i] = 2 X[i] }",
        "(let f (fn (X) {(= (index X 0) 1); (equation (index Y i) (join 2 (index X i)));}))",
    );
}

#[test]
fn the_value_of_a_variable_in_an_index_is_no_part_of_the_equation() {
    check("Y[i] = X[(a + b), i]", "(equation (index Y i) (index X (paren (+ a b)) i))");
    check_errors("Y[i] = X[(a b), i]", &["1:13 expected `,` or `)`, found `b`"]);
}

#[test]
fn an_index_named_like_a_variable_is_an_index_and_a_warning() {
    let (ast, diagnostics) = parse_after(FileId(0), "Y[i, (j)] = X[i, k] Z[k, (j)]", &["i", "j"]);
    let expected = "(equation (index Y i (paren j)) (join (index X i k) (index Z k (paren j))))\n";
    assert_eq!(dump(&ast), expected);
    let seen: Vec<_> = diagnostics.iter().map(|diagnostic| (diagnostic.severity, diagnostic.message.as_str())).collect();
    assert_eq!(seen, [(Severity::Warning, "`i` is an index of this equation, not the variable `i`")]);
}

#[test]
fn learn() {
    check(
        "learn { minimize Loss, over: [W], optimizer: adamw(lr: 0.01), epochs: 100 }",
        "(learn Loss (over: (list W)) (optimizer: (call adamw (lr: 0.01))) (epochs: 100))",
    );
    check("learn {\nminimize Loss[]\nover: [W, B]\n}", "(learn (index Loss) (over: (list W B)))");
    check_errors("learn { over: [W] }", &["1:1 `learn` without `minimize`"]);
    check_errors("learn { minimize A, minimize B }", &["1:30 `minimize` twice in one `learn`"]);
    check_errors("learn { minimise A }", &["1:9 expected `minimize` or an option with its value, found `minimise`"]);
}

#[test]
fn a_line_of_a_session_knows_the_variables_before_it() {
    let read = |variables: &[&str]| dump(&parse_after(FileId(0), "x[0] = 1", variables).0);
    assert_eq!(read(&["x"]), "(= (index x 0) 1)\n");
    assert_eq!(read(&["y"]), "(equation (index x 0) 1)\n");
}
