//! Steps that a fusion rule could have folded into another, and why it did not.

use crate::plan::{Buf, Choice, Elementwise, Epilogue, ExprOp, Kernel, Linear, Plan, Rule, Step, Target};

use super::dot::kernel_name;

/// A step that stayed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfused {
    /// By index in `Plan::steps`.
    pub step: usize,
    /// The step's name, or its kernel.
    pub name: String,
    /// The rule that could have folded it.
    pub rule: Rule,
    /// What it could have been part of, and what stood against it.
    pub why: String,
}

/// Every norm, rotation, cache write, gate and elementwise step beside a linear that another plan would not have.
pub fn unfused(plan: &Plan, target: &Target) -> Vec<Unfused> {
    let mut found = Vec::new();
    for (i, step) in plan.steps.iter().enumerate() {
        let rules @ [.., rule] = rules(&step.kernel) else { continue };
        let off = rules.iter().find(|&&rule| target.off.has(rule)).map(|rule| format!("the rule {} is off", rule.name()));
        let why = match &step.kernel {
            _ if !plan.options.fuse => Some("fusion is off: every node is a step, so that its value can be seen".to_owned()),
            Kernel::Norm(_) if off.is_some() => off,
            _ => why(plan, target, i, step).map(|why| off.unwrap_or(why)),
        };
        if let Some(why) = why {
            let name = if step.name.is_empty() { kernel_name(&step.kernel) } else { step.name.clone() };
            found.push(Unfused { step: i, name, rule: *rule, why });
        }
    }
    found
}

/// The rules that it takes to fold such a step into a linear, the one that does it last.
fn rules(kernel: &Kernel) -> &'static [Rule] {
    match kernel {
        Kernel::Norm(_) => &[Rule::NormInLinear],
        Kernel::Rope(_) | Kernel::CacheStore(_) => &[Rule::MergeLinears, Rule::RotateKeysWhileStoring, Rule::RotateAndStoreInLinear],
        Kernel::Elementwise(e) if is_gate(e) => &[Rule::FuseChains, Rule::MergeLinears, Rule::GateInLinear],
        Kernel::Elementwise(_) => &[Rule::AddToLinear],
        _ => &[],
    }
}

fn why(plan: &Plan, target: &Target, at: usize, step: &Step) -> Option<String> {
    match &step.kernel {
        Kernel::Norm(norm) => {
            let readers = readers(plan, at, norm.out);
            if is_output(plan, norm.out) {
                Some("not folded into a linear: its value is an output".to_owned())
            } else if norm.rows.count > target.norm_prologue_rows {
                let most = target.norm_prologue_rows;
                Some(format!(
                    "not folded into a linear: {} rows, at most {most} are normed again by each linear that reads them",
                    norm.rows
                ))
            } else {
                let others: Vec<String> =
                    readers.iter().filter(|r| !matches!(r.kernel, Kernel::Linear(_))).map(|r| kernel_name(&r.kernel)).collect();
                (!others.is_empty()).then(|| format!("not folded into a linear: {} reads it, too", others.join(", ")))
            }
        }
        Kernel::Rope(rope) => {
            let made_by = writer(plan, at, rope.x.buf);
            Some(beside_linear(
                made_by,
                rope.rows.count,
                target.epilogue_rows,
                "its rotation and cache write",
                "its heads are rotated in part, or queries and keys have weights of different types",
            ))
        }
        Kernel::CacheStore(store) => {
            let view = store.k.as_ref().or(store.v.as_ref())?;
            let what = if store.k.is_some() { "the rotation and cache write" } else { "the write of the values" };
            let other = if store.k.is_some() {
                "keys are rotated in part or not at all"
            } else {
                "the weight of the values has another type than that of queries and keys"
            };
            Some(beside_linear(writer(plan, at, view.buf), store.rows.count, target.epilogue_rows, what, other))
        }
        Kernel::Elementwise(e) if is_gate(e) => {
            let made_by = e.inputs.first().and_then(|(view, _)| writer(plan, at, view.buf));
            let rows = e.dims.first().copied().unwrap_or(1);
            Some(beside_linear(
                made_by,
                rows,
                target.epilogue_rows,
                "the gate",
                "gate and up are not one linear: their weights differ in type or width",
            ))
        }
        Kernel::Elementwise(e) => {
            let linear =
                e.inputs.iter().find_map(|(view, _)| writer(plan, at, view.buf).filter(|w| matches!(w.kernel, Kernel::Linear(_))))?;
            let Kernel::Linear(k) = &linear.kernel else { return None };
            let out = epilogue_out(k);
            let n_readers = plan.steps.iter().filter(|s| s.kernel.reads().contains(&out)).count();
            Some(if n_readers > 1 {
                format!("not an epilogue of {}: {n_readers} steps read what the linear gives", linear.name)
            } else {
                format!("not an epilogue of {}: linears add a bias and a residual, or gate, and nothing else", linear.name)
            })
        }
        _ => None,
    }
}

/// Why a step is no epilogue of the linear before it.
fn beside_linear(made_by: Option<&Step>, rows: usize, most: usize, what: &str, otherwise: &str) -> String {
    match made_by {
        Some(step) if matches!(step.kernel, Kernel::Linear(_)) => {
            if rows > most {
                format!("{what} is no epilogue of {}: {rows} rows, epilogues take at most {most}", step.name)
            } else {
                format!("{what} is no epilogue of {}: {otherwise}", step.name)
            }
        }
        _ => format!("{what} is no epilogue: no linear makes what it reads"),
    }
}

/// `act(a) · b`
fn is_gate(e: &Elementwise) -> bool {
    let activated = |op: &ExprOp| matches!(op, ExprOp::Unary { .. });
    e.inputs.len() == 2
        && matches!(e.expr.ops.last(), Some(ExprOp::Binary { op: crate::graph::BinaryOp::Mul, .. }))
        && e.expr.ops.iter().any(activated)
}

fn writer(plan: &Plan, before: usize, buf: Buf) -> Option<&Step> {
    plan.steps[..before].iter().rev().find(|s| s.kernel.writes().contains(&buf))
}

/// The steps that read a buffer until it is written again.
fn readers(plan: &Plan, after: usize, buf: Buf) -> Vec<&Step> {
    let mut found = Vec::new();
    for step in &plan.steps[after + 1..] {
        if step.kernel.reads().contains(&buf) {
            found.push(step);
        }
        if step.kernel.writes().contains(&buf) {
            break;
        }
    }
    found
}

fn is_output(plan: &Plan, buf: Buf) -> bool {
    plan.outputs.iter().any(|o| o.buf == buf)
}

fn epilogue_out(linear: &Linear) -> Buf {
    match linear.epilogue {
        Epilogue::Store { out, .. } | Epilogue::Gated { out, .. } => out,
        Epilogue::RopeStore { q_out, .. } => q_out,
    }
}
