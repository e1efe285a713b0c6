//! Planted faults: each must be blamed on its step, for a reason that names it.

use half::{bf16, f16};
use tensorlogic::graph::{BinaryOp, CacheUse, ExecError, Executor, Graph, Node, NodeId, Op, RopeRowsKind, RopeSpec, RopeStyle, UnaryOp};
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::tensor::HostTensor;
use tensorlogic::trace::{
    Diagnosis, Reason, ReasonKind, Reference, Request, Rounding, Select, Tolerance, TraceError, compare, diagnose, record,
};

use crate::support::faulty::{Fault, FaultyExecutor, edited};
use crate::support::fixture;
use crate::support::traced::Subject;

/// A fault, the step it is in, and what a reason must say.
struct Planted {
    name: &'static str,
    model: &'static str,
    fault: Fault,
    step: &'static str,
    kind: ReasonKind,
    says: &'static str,
}

fn planted(name: &'static str, fault: Fault, step: &'static str, kind: ReasonKind, says: &'static str) -> Planted {
    Planted { name, model: "tiny-f32", fault, step, kind, says }
}

fn map(values: &mut HostTensor, f: impl Fn(usize, f32) -> f32) {
    let new = values.as_f32().unwrap().iter().enumerate().map(|(i, &v)| f(i, v)).collect();
    *values = HostTensor::f32(values.shape.clone(), new);
}

fn row_of(values: &HostTensor, i: usize) -> (usize, usize) {
    let width = values.len() / values.shape[0];
    (i / width, i % width)
}

/// The projection with sums and products in f16.
fn f16_sums(values: &mut HostTensor, x: &HostTensor, weight: &[f32]) {
    let k = x.shape.last_dim();
    let x = x.as_f32().unwrap();
    map(values, |i, _| {
        let n = weight.len() / k;
        let (row, column) = (&x[i / n * k..][..k], &weight[i % n * k..][..k]);
        row.iter().zip(column).fold(f16::ZERO, |sum, (a, b)| f16::from_f32(sum.to_f32() + f16::from_f32(a * b).to_f32())).to_f32()
    });
}

/// Attention in primitive ops that sees what `sees` says, head h reading key-value head `group(h)`.
fn attention(
    g: &mut Graph,
    (q, k, v): (NodeId, NodeId, NodeId),
    n_true: usize,
    sees: impl Fn(usize, usize) -> bool,
    group: impl Fn(usize) -> usize,
    scale: f32,
) -> NodeId {
    let (n, n_heads) = (g.shape(q)[0], g.shape(q)[1]);
    let one = |g: &mut Graph, from: NodeId, h: usize, head_dim: usize| {
        let x = g.slice(from, &[(0, 1, n), (h, 1, 1), (0, 1, head_dim)]).unwrap();
        g.reshape(x, [n, head_dim]).unwrap()
    };
    let head_dim = g.shape(q)[2];
    let positions = g.iota(n);
    let rows = g.reshape(positions, [n, 1]).unwrap();
    let mut heads = Vec::new();
    for h in 0..n_heads {
        let (qh, kh, vh) = (one(g, q, h, head_dim), one(g, k, group(h), head_dim), one(g, v, group(h), head_dim));
        let scores = g.einsum("td,sd->ts", &[qh, kh]).unwrap();
        let scale = g.literal_f32(scale);
        let scores = g.binary(BinaryOp::Mul, scores, scale).unwrap();
        // The mask, pair by pair, from comparisons of positions.
        let zero = g.literal_f32(0.0);
        let mut mask = g.broadcast_to(zero, [n, n]).unwrap();
        let hidden = g.literal_f32(-1e30);
        for p in 0..n {
            for k in (0..n).filter(|&k| k >= n_true || !sees(p, k)) {
                let (p, k) = (g.literal_i32(p as i32), g.literal_i32(k as i32));
                let is_row = g.binary(BinaryOp::Eq, rows, p).unwrap();
                let is_column = g.binary(BinaryOp::Eq, positions, k).unwrap();
                let here = g.binary(BinaryOp::And, is_row, is_column).unwrap();
                mask = g.select(here, hidden, mask).unwrap();
            }
        }
        let masked = g.binary(BinaryOp::Add, scores, mask).unwrap();
        let weights = g.softmax(masked, 1).unwrap();
        let read = g.matmul(weights, vh).unwrap();
        heads.push(g.reshape(read, [n, 1, head_dim]).unwrap());
    }
    g.concat(&heads, 1).unwrap()
}

/// Replaces the attention of a layer; `kv` finds keys and values, which the cache write reads.
fn attention_fault(
    label: &'static str,
    sees: impl Fn(usize, usize) -> bool + Copy + Send + 'static,
    group: impl Fn(usize) -> usize + Copy + Send + 'static,
    scale: f32,
) -> Fault {
    Fault::at(label, move |g, _, inputs| {
        let append = g.node(inputs[1]).inputs.clone();
        attention(g, (inputs[0], append[0], append[1]), 6, sees, group, scale)
    })
}

fn rope_with(label: &'static str, spec: impl Fn(&RopeSpec) -> RopeSpec + Send + 'static) -> Fault {
    Fault::at(label, move |g, node, inputs| {
        let Op::Rope { style, .. } = node.op else { panic!("{label} is no rotation") };
        let rows = g.node(inputs[1]).clone();
        let Op::RopeRows { spec: old, .. } = &rows.op else { panic!("rows are made by the host") };
        let new = g.rope_rows(std::sync::Arc::new(spec(old)), RopeRowsKind::Position, rows.inputs[0], rows.shape[0]);
        g.rope(inputs[0], new, style).unwrap()
    })
}

fn weight_named(g: &mut Graph, subject: &Subject, name: &str) -> NodeId {
    g.weight(subject.llama.weight(name))
}

fn with_weight(subject: &'static str, label: &'static str, name: &'static str) -> Fault {
    Fault::at(label, move |g, node, inputs| {
        let w = weight_named(g, &Subject::new(subject, 2), name);
        let mut inputs = inputs.to_vec();
        inputs[1] = w;
        g.add(node.op.clone(), &inputs).unwrap()
    })
}

fn binary(label: &'static str, op: BinaryOp) -> Fault {
    Fault::at(label, move |g, _, inputs| g.binary(op, inputs[0], inputs[1]).unwrap())
}

/// Faults of computation, which a program may have as well as a backend.
fn edits() -> Vec<Planted> {
    use ReasonKind as K;
    let causal = |p: usize, k: usize| k <= p;
    let half = |h: usize| h / 2;
    let scale = 1.0 / 8f32.sqrt();
    let unary = |label, op| Fault::at(label, move |g: &mut Graph, _: &Node, inputs: &[NodeId]| g.unary(op, inputs[0]).unwrap());
    vec![
        planted(
            "silu is zero",
            Fault::at("blk.1.silu_gate", |g, _, inputs| {
                let zero = g.literal_f32(0.0);
                g.binary(BinaryOp::Mul, inputs[0], zero).unwrap()
            }),
            "blk.1.silu_gate",
            K::Zero,
            "zero",
        ),
        planted("gelu for silu", unary("blk.0.silu_gate", UnaryOp::Gelu), "blk.0.silu_gate", K::Function, "gelu for silu"),
        planted(
            "silu left out",
            Fault::at("blk.0.silu_gate", |g, node, inputs| {
                let one = g.literal_f32(1.0);
                assert_eq!(node.op, Op::Unary(UnaryOp::Silu));
                g.binary(BinaryOp::Mul, inputs[0], one).unwrap()
            }),
            "blk.0.silu_gate",
            K::Function,
            "silu left out",
        ),
        planted(
            "RoPE order of the queries",
            Fault::at("blk.0.q_rope", |g, _, inputs| g.rope(inputs[0], inputs[1], RopeStyle::Neox).unwrap()),
            "blk.0.q_rope",
            K::RopeOrder,
            "NEOX",
        ),
        planted(
            "position off by one",
            Fault::edit(|g, node, inputs| {
                let Op::RopeRows { spec, kind: RopeRowsKind::Position } = &node.op else { return None };
                let one = g.literal_i32(1);
                let first = g.binary(BinaryOp::Add, inputs[0], one).unwrap();
                Some(g.rope_rows(spec.clone(), RopeRowsKind::Position, first, node.shape[0]))
            }),
            "blk.0.q_rope",
            K::Position,
            "positions off by +1",
        ),
        planted(
            "keys not rotated",
            Fault::at("blk.0.k_rope", |g, node, inputs| {
                let one = g.literal_f32(1.0);
                assert!(matches!(node.op, Op::Rope { .. }));
                g.binary(BinaryOp::Mul, inputs[0], one).unwrap()
            }),
            "blk.0.k_rope",
            K::Rotation,
            "no rotation",
        ),
        planted(
            "another rope base",
            rope_with("blk.0.k_rope", |s| RopeSpec { base: 500_000.0, ..s.clone() }),
            "blk.0.k_rope",
            K::Rotation,
            "base of 500000",
        ),
        planted(
            "missing mask",
            attention_fault("blk.0.attn_out", |_, _| true, half, scale),
            "blk.0.attn_out",
            K::Mask,
            "after their own position",
        ),
        planted(
            "mask off by one",
            attention_fault("blk.1.attn_out", move |p, k| k < p || p == 0 && k == 0, half, scale),
            "blk.1.attn_out",
            K::Mask,
            "do not see their own key",
        ),
        planted("head groups", attention_fault("blk.0.attn_out", causal, |h| h % 2, scale), "blk.0.attn_out", K::HeadGroups, "h mod 2"),
        planted(
            "attention without its scale",
            attention_fault("blk.0.attn_out", causal, half, 1.0),
            "blk.0.attn_out",
            K::AttentionScale,
            "once less",
        ),
        planted(
            "a norm without its weight",
            Fault::at("blk.0.ffn_norm", |g, _, inputs| {
                let squares = g.binary(BinaryOp::Mul, inputs[0], inputs[0]).unwrap();
                let mean = g.reduce(tensorlogic::graph::ReduceOp::Mean, squares, 1, true).unwrap();
                let sum = g.binary(BinaryOp::Add, mean, inputs[2]).unwrap();
                let by = g.unary(UnaryOp::Sqrt, sum).unwrap();
                g.binary(BinaryOp::Div, inputs[0], by).unwrap()
            }),
            "blk.0.ffn_norm",
            K::NormWeight,
            "no weight",
        ),
        planted(
            "a wrong eps",
            Fault::at("blk.0.attn_norm", |g, _, inputs| {
                let eps = g.literal_f32(1e-3);
                g.rms_norm(inputs[0], inputs[1], eps).unwrap()
            }),
            "blk.0.attn_norm",
            K::NormEps,
            "eps of 1e-3",
        ),
        planted(
            "another norm's weight",
            with_weight("tiny-f32", "blk.0.ffn_norm", "blk.0.attn_norm.weight"),
            "blk.0.ffn_norm",
            K::NormWeight,
            "the weight blk.0.attn_norm.weight",
        ),
        planted("gate and up exchanged", with_weight("tiny-f32", "blk.0.gate", "blk.0.ffn_up.weight"), "blk.0.gate", K::Swapped, "ffn_up"),
        planted(
            "a weight transposed",
            Fault::at("blk.0.attn_proj", |g, _, inputs| {
                let turned = g.permute(inputs[1], &[1, 0]).unwrap();
                g.add(Op::Linear, &[inputs[0], turned]).unwrap()
            }),
            "blk.0.attn_proj",
            K::Transposed,
            "blk.0.attn_output.weight transposed",
        ),
        planted("a residual subtracted", binary("blk.0.ffn_inp", BinaryOp::Sub), "blk.0.ffn_inp", K::Function, "a difference for the sum"),
        planted(
            "a residual left out",
            Fault::at("blk.1.ffn_inp", |g, node, inputs| {
                let zero = g.literal_f32(0.0);
                assert_eq!(node.op, Op::Binary(BinaryOp::Add));
                let nothing = g.binary(BinaryOp::Mul, inputs[0], zero).unwrap();
                g.binary(BinaryOp::Add, nothing, inputs[1]).unwrap()
            }),
            "blk.1.ffn_inp",
            K::Function,
            "operand of a sum",
        ),
        planted("gate and up added", binary("blk.0.gated", BinaryOp::Add), "blk.0.gated", K::Function, "a sum for the product"),
        planted(
            "the embedding scaled by the root of the width",
            Fault::at("embedding", |g, _, inputs| {
                let x = g.embedding(inputs[0], inputs[1]).unwrap();
                let root = g.literal_f32((g.shape(x).last_dim() as f32).sqrt());
                g.binary(BinaryOp::Mul, x, root).unwrap()
            }),
            "embedding",
            K::Scale,
            "the root of the width",
        ),
        planted(
            "damaged rows of a weight",
            Fault::weight(|w, bytes| {
                let here = w.name == "blk.1.ffn_down.weight";
                if here {
                    bytes[20 * 72 * 4..24 * 72 * 4].iter_mut().for_each(|b| *b = 0x3e);
                }
                here
            }),
            "blk.1.ffn_out",
            K::Where,
            "rows of its weight",
        ),
    ]
}

/// Faults of values, which only a backend has.
fn tampered() -> Vec<Planted> {
    use ReasonKind as K;
    let subject = Subject::new("tiny-f32", 2);
    let down = subject.llama.values("blk.1.ffn_down.weight");
    vec![
        planted(
            "f16 sums",
            Fault::tamper_reading("blk.1.ffn_out", &["blk.1.gated"], move |v, read| f16_sums(v, &read[0], &down)),
            "blk.1.ffn_out",
            K::F16Rounding,
            "f16",
        ),
        planted(
            "f16 noise that is stored wider",
            Fault::tamper("blk.1.attn_proj", |v| map(v, |i, x| x + x.abs().max(0.2) * 3e-4 * ((i * 7919 % 13) as f32 / 6.0 - 1.0))),
            "blk.1.attn_proj",
            K::F16Arithmetic,
            "f16",
        ),
        planted(
            "rounded to f16",
            Fault::tamper("blk.0.attn_proj", |v| map(v, |_, x| f16::from_f32(x).to_f32())),
            "blk.0.attn_proj",
            K::F16Rounding,
            "every value is an f16 number",
        ),
        planted(
            "rounded to bf16",
            Fault::tamper("final_norm", |v| map(v, |_, x| bf16::from_f32(x).to_f32())),
            "final_norm",
            K::Bf16Rounding,
            "every value is a bf16 number",
        ),
        planted(
            "a stale row",
            Fault::tamper("blk.1.up", |v| {
                let old = v.clone();
                let width = old.shape[1];
                map(v, |i, x| if i / width == 4 { old.as_f32().unwrap()[i - 3 * width] } else { x });
            }),
            "blk.1.up",
            K::StaleRows,
            "row 4 holds that of row 1",
        ),
        planted(
            "a buffer read before it was written",
            Fault::tamper_reading("blk.1.ffn_inp", &["blk.0.output"], |v, read| {
                let width = v.shape[1];
                let old = read[0].as_f32().unwrap();
                map(v, |i, x| if i / width == 5 { old[i] } else { x });
            }),
            "blk.1.ffn_inp",
            K::StaleRows,
            "blk.0.output",
        ),
        planted(
            "NaN in a row",
            Fault::tamper("blk.0.ffn_norm", |v| {
                let copy = v.clone();
                map(v, |i, x| if row_of(&copy, i) == (3, 5) { f32::NAN } else { x });
            }),
            "blk.0.ffn_norm",
            K::NonFinite,
            "row 3, column 5",
        ),
        planted(
            "a row that was never written",
            Fault::tamper("blk.0.attn_out", |v| {
                let copy = v.clone();
                map(v, |i, x| if row_of(&copy, i).0 == 5 { 0.0 } else { x });
            }),
            "blk.0.attn_out",
            K::Zero,
            "row 5",
        ),
        planted(
            "one value",
            Fault::tamper("blk.1.output", |v| map(v, |i, x| if i == 77 { x + 0.5 } else { x })),
            "blk.1.output",
            K::Where,
            "one value alone",
        ),
        planted(
            "heads out of order",
            Fault::tamper("blk.0.k_rope", |v| {
                let old = v.clone();
                let d = old.shape[2];
                map(v, |i, _| old.as_f32().unwrap()[if i / d % 2 == 0 { i + d } else { i - d }]);
            }),
            "blk.0.k_rope",
            K::HeadOrder,
            "1, 0",
        ),
        planted(
            "tokens and heads exchanged",
            Fault::tamper("blk.0.q_rope", |v| {
                let old = v.clone();
                // Over the true rows alone, as a kernel that takes its strides from the token count would.
                let (n, h, d) = (6, old.shape[1], old.shape[2]);
                map(v, |i, x| {
                    if i < n * h * d {
                        let (a, b) = (i / d / n, i / d % n);
                        old.as_f32().unwrap()[(b * h + a) * d + i % d]
                    } else {
                        x
                    }
                });
            }),
            "blk.0.q_rope",
            K::Transposed,
            "[1, 0, 2]",
        ),
        planted(
            "pairs regrouped",
            Fault::tamper("blk.0.q", |v| {
                let old = v.clone();
                map(v, |i, _| {
                    let (head, j) = (i / 8 * 8, i % 8);
                    old.as_f32().unwrap()[head + if j < 4 { 2 * j } else { 2 * (j - 4) + 1 }]
                });
            }),
            "blk.0.q",
            K::RopeOrder,
            "RoPE order",
        ),
        planted(
            "rows late by one",
            Fault::tamper("blk.1.attn_norm", |v| {
                let old = v.clone();
                let width = old.shape[1];
                map(v, |i, _| old.as_f32().unwrap()[i.checked_sub(width).unwrap_or(i)]);
            }),
            "blk.1.attn_norm",
            K::Position,
            "row t - 1",
        ),
        planted("the sign", Fault::tamper("blk.1.v", |v| map(v, |_, x| -x)), "blk.1.v", K::Sign, "negative"),
        planted(
            "a bias added",
            Fault::tamper("blk.0.v", |v| {
                let copy = v.clone();
                map(v, |i, x| x + row_of(&copy, i).1 as f32 * 0.1);
            }),
            "blk.0.v",
            K::Bias,
            "bias",
        ),
        Planted {
            model: "tiny-mixed",
            ..planted(
                "a wrong scale index in Q6_K",
                Fault::weight(|w, bytes| {
                    let here = w.dtype.name() == "q6_k";
                    if here {
                        // Sixteen scales at byte 192 of a block of 210: each pair exchanged.
                        bytes.chunks_exact_mut(210).for_each(|block| block[192..208].chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1)));
                    }
                    here
                }),
                "",
                K::WeightFormat,
                "q6_k",
            )
        },
    ]
}

fn told(planted: &Planted, diagnosis: &Diagnosis) -> Result<(), String> {
    let step = if planted.step.is_empty() { diagnosis.name.as_str() } else { planted.step };
    let named = |r: &Reason| r.kind == planted.kind && r.text.contains(planted.says);
    if diagnosis.name == step && diagnosis.reasons.iter().any(named) {
        return Ok(());
    }
    let reasons: Vec<String> = diagnosis.reasons.iter().map(|r| format!("    {:?}: {r}", r.kind)).collect();
    Err(format!("{}: blamed {} ({:?} expected of {step})\n{}", planted.name, diagnosis.name, planted.kind, reasons.join("\n")))
}

/// The reason that is told first is the planted one, but for faults whose place is all there is to say.
fn first_reason_is(planted: &Planted, diagnosis: &Diagnosis) -> bool {
    diagnosis.reasons.first().is_some_and(|r| r.kind == planted.kind)
}

#[test]
fn faults_of_a_backend_are_blamed_on_their_step() {
    let mut failures = Vec::new();
    for planted in edits().into_iter().chain(tampered()) {
        let subject = Subject::new(planted.model, 6);
        let exact = Reference::from_trace(&subject.trace(&mut ReferenceExecutor::new(), Select::Labelled));
        let Planted { fault, .. } = planted;
        let trace = subject.trace(&mut FaultyExecutor::new(fault), Select::Labelled);
        let planted = Planted { fault: Fault::tamper("none", |_| {}), ..planted };
        let comparison = compare(&trace, &exact, Tolerance::of(Rounding::F32));
        match diagnose(&trace, &exact, &comparison) {
            None => failures.push(format!("{}: not seen", planted.name)),
            Some(diagnosis) => {
                assert_eq!(diagnosis.backend_is_wrong, Some(true), "{}", planted.name);
                failures.extend(told(&planted, &diagnosis).err());
                if !first_reason_is(&planted, &diagnosis) {
                    failures.push(format!("{}: told first {:?}", planted.name, diagnosis.reasons.first()));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The same computations as faults of the program: the backend is right, the committed file disagrees. It has no values inside layer 1.
#[test]
fn faults_of_a_program_are_told_from_those_of_a_backend() {
    let mut failures = Vec::new();
    for planted in edits() {
        let subject = Subject::new(planted.model, 6);
        let reference = Reference::from_file(&fixture(&format!("{}.safetensors", planted.model))).unwrap();
        let (graph, logits) = subject.graph();
        let Fault::Edit(edit) = &planted.fault else { unreachable!("edits are edits") };
        let (graph, ids) = edited(&graph, edit);
        let trace = subject.trace_graph(&graph, ids[logits.0 as usize], &mut ReferenceExecutor::new(), Select::Labelled);
        let comparison = compare(&trace, &reference, Tolerance::of(Rounding::F32));
        let Some(diagnosis) = diagnose(&trace, &reference, &comparison) else {
            failures.push(format!("{}: not seen", planted.name));
            continue;
        };
        // Inside layer 1 only its output has a reference.
        let step = if planted.step.starts_with("blk.1.") { "blk.1.output" } else { planted.step };
        if diagnosis.name != step || diagnosis.backend_is_wrong != Some(false) {
            failures.push(format!("{}: blamed {}, backend {:?}", planted.name, diagnosis.name, diagnosis.backend_is_wrong));
        }
        // What was left out of a program is not there to be made another, and a mask in layer 1 has no values of the reference near it.
        let kinds: &[ReasonKind] = match planted.name {
            "silu is zero" | "silu left out" => &[ReasonKind::Function],
            "keys not rotated" => &[ReasonKind::Rotation],
            "mask off by one" => &[ReasonKind::Program, ReasonKind::Where],
            _ => &[planted.kind],
        };
        if !diagnosis.reasons.first().is_some_and(|r| kinds.contains(&r.kind)) {
            failures.push(format!("{}: told first {:?}", planted.name, diagnosis.reasons.first()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_damaged_weight_that_holds_nan_is_refused() {
    let subject = Subject::new("tiny-q4_0", 3);
    let fault = Fault::weight(|w, bytes| {
        let here = w.name == "output.weight";
        if here {
            bytes[..2].copy_from_slice(&f16::NAN.to_le_bytes());
        }
        here
    });
    let (graph, logits) = subject.graph();
    let mut executor = FaultyExecutor::new(fault);
    let cache = executor.new_cache(&subject.spec).unwrap();
    let request = Request { graph: &graph, outputs: &[logits], caches: &[subject.spec], select: Select::Labelled, layer_idx: None };
    let refused = record(&request, &subject.args(CacheUse { cache, position: 0 }), &mut executor);
    assert!(
        matches!(refused, Err(TraceError::Exec(ExecError::BadWeight(message))) if message.contains("output.weight holds NaN in block 0"))
    );
}
