//! A bucket of tokens: what may be done with its rows, and what is refused.

use crate::graph::{BinaryOp, CompileOptions, Graph, GraphError, NodeId, Op, Origin, ReduceOp, UnaryOp};
use crate::plan::{Kernel, PlanError, compile};
use crate::tensor::DType;

use super::block::TARGET;

const BUCKET: usize = 16;

/// Compiles what `build` makes of a `[T, 8]` value of the bucket.
fn compiled(bucket: usize, build: impl FnOnce(&mut Graph, NodeId) -> Result<NodeId, GraphError>) -> Result<crate::plan::Plan, PlanError> {
    let mut g = Graph::new();
    let ids = g.tokens_input(bucket);
    let table = g.input([10, 8], DType::F32);
    let x = g.embedding(ids, table).unwrap();
    g.set_origin(Origin(7));
    let y = build(&mut g, x).unwrap();
    compile(&g, &[y], &CompileOptions { fuse: true, caches: vec![] }, &TARGET)
}

#[test]
fn what_mixes_tokens_is_refused_with_its_place() {
    type Build = fn(&mut Graph, NodeId) -> Result<NodeId, GraphError>;
    let mixing: &[(&str, Build)] = &[
        ("sum", |g, x| g.reduce(ReduceOp::Sum, x, 0, false)),
        ("softmax", |g, x| g.softmax(x, 0)),
        ("cumsum", |g, x| g.add(Op::CumSum { axis: 0 }, &[x])),
        ("argmax", |g, x| g.add(Op::ArgMax { axis: 0, keep: true }, &[x])),
        ("reshape", |g, x| g.reshape(x, [8 * BUCKET])),
        ("reshape", |g, x| g.reshape(x, [BUCKET / 2, 16])),
        ("slice", |g, x| g.slice(x, &[(BUCKET - 1, 1, 1), (0, 1, 8)])),
        ("slice", |g, x| g.slice(x, &[(BUCKET - 1, -1, BUCKET), (0, 1, 8)])),
        ("concat", |g, x| g.concat(&[x, x], 0)),
        ("einsum", |g, x| g.einsum("td,te->de", &[x, x])),
        ("einsum", |g, x| g.einsum("td,sd->ts", &[x, x])),
        ("gather", |g, x| {
            let indices = g.iota(2);
            g.add(Op::Gather { axis: 0 }, &[x, indices])
        }),
    ];
    for (op, build) in mixing {
        let error = compiled(BUCKET, build).expect_err(op);
        assert_eq!(error, PlanError::MixesTokens { op: (*op).to_owned(), origin: Origin(7) });
        // With one token there is nothing to mix; the reshapes are made for the bucket.
        if *op != "reshape" && *op != "slice" {
            assert!(compiled(1, build).is_ok(), "{op} of one token");
        }
    }
}

#[test]
fn what_keeps_tokens_apart_is_planned_for_the_bucket() {
    let plan = compiled(BUCKET, |g, x| {
        let heads = g.reshape(x, [BUCKET, 2, 4])?;
        let turned = g.permute(heads, &[1, 0, 2])?;
        let sum = g.reduce(ReduceOp::Sum, turned, 2, false)?;
        let back = g.permute(sum, &[1, 0])?;
        let soft = g.softmax(back, 1)?;
        let exp = g.unary(UnaryOp::Exp, soft)?;
        g.binary(BinaryOp::Mul, exp, back)
    })
    .unwrap();
    let dynamic = plan.steps.iter().filter(|s| matches!(&s.kernel, Kernel::Elementwise(k) if k.dynamic && k.dims[0] == BUCKET)).count();
    assert!(dynamic > 0 && plan.bucket == Some(BUCKET), "{plan}");
}
