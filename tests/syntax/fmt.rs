//! The formatter: one layout, the same meaning, every comment kept.

use tensorlogic::source::FileId;
use tensorlogic::syntax::{dump, format, lex, parse};

#[track_caller]
fn check(input: &str, expected: &str) {
    let formatted = format(input).unwrap();
    assert_eq!(formatted, expected, "{input}");
    assert_eq!(format(&formatted).unwrap(), formatted, "formatting twice");
}

#[test]
fn spaces() {
    check("let a=1+2*-b **- 2", "let a = 1 + 2 * -b ** -2\n");
    check("f ( )".replace("f ", "f").as_str(), "f()\n");
    check("f( a,b ,eps:1e-5 )", "f(a, b, eps: 1e-5)\n");
    check("f( a,eps = 1e-5,b= [1] )", "f(a, eps=1e-5, b=[1])\n");
    check("x[ 0 : 4,: , : :2 ]", "x[0:4, :, ::2]\n");
    check("fn  f(x:float16[ ?,64 ],y= 2)->int{x}", "fn f(x: float16[?, 64], y = 2) -> int { x }\n");
    check("let f=fn (x){x}", "let f = fn(x) { x }\n");
    check("fn f (x) {}", "fn f(x) { }\n");
    check("for i in 0 .. n{}", "for i in 0..n { }\n");
    check("a . b . c( )", "a.b.c()\n");
    check("let x:float32[...]=f16 ::zeros([2,3])".replace("f16 ", "f16").as_str(), "let x: float32[...] = f16::zeros([2, 3])\n");
    check("Point{x:1,y}", "Point { x: 1, y }\n");
    check("if not(a)and -b<-1 {}", "if not (a) and -b < -1 { }\n");
    check("return(x);y", "return (x); y\n");
    check("let t=(1,)", "let t = (1,)\n");
    check("match x{-1|1=>a,_=>b}", "match x { -1 | 1 => a, _ => b }\n");
    check("fn put(mut  c:Box,v){}\nput( mut  c,v:mut d)", "fn put(mut c: Box, v) { }\nput(mut c, v: mut d)\n");
    check("let a = [1,-2, - 3]", "let a = [1, -2, -3]\n");
    check("tensor  x:float32[2,3]=[1,2]", "tensor x: float32[2, 3] = [1, 2]\n");
}

#[test]
fn equations_keep_what_spaces_mean() {
    check("Y[i]=W[i,k]X[k]", "Y[i] = W[i, k] X[k]\n");
    check("Y[i]=f (X[i])", "Y[i] = f (X[i])\n");
    check("Y[i] max=  X[i,*t+1]", "Y[i] max= X[i, *t+1]\n");
    check("C[p,p'.]=Im[x+dx,y  + dy]", "C[p, p'.] = Im[x+dx, y + dy]\n");
    check("P(x)<-Q(x),not R(x)", "P(x) <- Q(x), not R(x)\n");
    check("x<-1", "x < -1\n");
    check("P(x)? ", "P(x)?\n");
}

#[test]
fn indentation_follows_the_brackets() {
    check(
        "fn f() {\n  let a = g(\n1,\n2\n)\n if a {\nb\n}\n  else {\nc\n}\n}",
        "fn f() {\n    let a = g(\n        1,\n        2\n    )\n    if a {\n        b\n    } else {\n        c\n    }\n}\n",
    );
    check("each(xs, fn(x) {\nlet y = x\n-y\n})", "each(xs, fn(x) {\n    let y = x\n    -y\n})\n");
    check("let a = x\n.softmax()\n.sum()\nlet b =\n1 +\n2", "let a = x\n    .softmax()\n    .sum()\nlet b =\n    1 +\n    2\n");
    check("P(x) <-\nQ(x),\nR(x)\nentity a,\nb", "P(x) <-\n    Q(x),\n    R(x)\nentity a,\n    b\n");
    check("match x {\n0 => a,\n1 => {\nb\n}\n_ =>\nc\n}", "match x {\n    0 => a,\n    1 => {\n        b\n    }\n    _ =>\n        c\n}\n");
    check("struct P {\nx: int\nfn f(self) {\n1\n}\n}", "struct P {\n    x: int\n    fn f(self) {\n        1\n    }\n}\n");
}

#[test]
fn blank_lines() {
    check("\n\na\n\n\n\nb\n\n\n", "a\n\nb\n");
    check("main {\n\n a\n\n}", "main {\n    a\n}\n");
    check("", "");
    check("a\r\nb\r\n", "a\nb\n");
}

#[test]
fn comments_stay() {
    check(
        "// one\n\n\n  // two  \nlet a = 1   // three\n/* four */ b /* five */",
        "// one\n\n// two\nlet a = 1 // three\n/* four */ b /* five */\n",
    );
    check("main {\n// inside\na\n// last\n}\n// end", "main {\n    // inside\n    a\n    // last\n}\n// end\n");
    check("f(/* a */ 1, // b\n2)", "f(/* a */ 1, // b\n    2)\n");
    check("if a {\n1\n} // c\nelse {\n2\n}", "if a {\n    1\n} // c\nelse {\n    2\n}\n");
    check("// only", "// only\n");
}

#[test]
fn errors_come_back() {
    let errors = format("let a = ").unwrap_err();
    assert_eq!(errors.len(), 1);
}

#[test]
fn every_program_keeps_its_tree_and_its_comments() {
    let program = include_str!("trees/tour.tl");
    // The tour stands in the one layout; spoiled in several ways it comes back to it.
    assert_eq!(format(program).unwrap(), program);
    let without_indent: String = program.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    assert_eq!(format(&without_indent).unwrap(), program);
    let spread: String = program.lines().map(|line| format!("\t{line}   \r\n")).collect();
    assert_eq!(format(&spread).unwrap(), program);
    let formatted = format(&without_indent).unwrap();
    assert_eq!(lex(FileId(0), &formatted).comments.len(), lex(FileId(0), program).comments.len());
    assert_eq!(dump(&parse(FileId(0), &formatted).0), dump(&parse(FileId(0), program).0));
}
