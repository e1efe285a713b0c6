//! Takes out of a module what its constants rule out. Kernels choose by constant conditions; WGSL's rules count what the branches not taken
//! mention as used, so their buffers would have to be bound, tracked and counted against the device's limits.

use naga::{Block, Expression, Function, Literal, Module, Statement};

/// Replaces each branch on a constant by the side that is taken, then drops what nothing uses any more: functions, buffers, types.
pub fn prune(module: &mut Module) {
    let known: Vec<Option<bool>> = module.constants.iter().map(|(_, c)| as_bool(&module.global_expressions[c.init])).collect();
    let functions = module.functions.iter_mut().map(|(_, function)| function);
    for function in functions.chain(module.entry_points.iter_mut().map(|entry| &mut entry.function)) {
        let body = std::mem::take(&mut function.body);
        function.body = taken(body, function, &known);
        // Names keep expressions alive.
        function.named_expressions.clear();
    }
    naga::compact::compact(module, naga::compact::KeepUnused::No);
}

fn taken(block: Block, function: &Function, known: &[Option<bool>]) -> Block {
    let mut out = Block::with_capacity(block.len());
    for (statement, span) in block.span_into_iter() {
        let statement = match statement {
            Statement::If { condition, accept, reject } => {
                let value = match function.expressions[condition] {
                    Expression::Constant(constant) => known[constant.index()],
                    ref other => as_bool(other),
                };
                match value {
                    Some(true) => Statement::Block(taken(accept, function, known)),
                    Some(false) => Statement::Block(taken(reject, function, known)),
                    None => Statement::If { condition, accept: taken(accept, function, known), reject: taken(reject, function, known) },
                }
            }
            Statement::Block(inner) => Statement::Block(taken(inner, function, known)),
            Statement::Loop { body, continuing, break_if } => {
                Statement::Loop { body: taken(body, function, known), continuing: taken(continuing, function, known), break_if }
            }
            Statement::Switch { selector, mut cases } => {
                for case in &mut cases {
                    case.body = taken(std::mem::take(&mut case.body), function, known);
                }
                Statement::Switch { selector, cases }
            }
            other => other,
        };
        out.push(statement, span);
    }
    out
}

fn as_bool(expression: &Expression) -> Option<bool> {
    match expression {
        Expression::Literal(Literal::Bool(value)) => Some(*value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pipelines::bindings_of;
    use super::prune;

    #[test]
    fn what_constants_rule_out_needs_no_buffer() {
        let text = |first: bool| {
            format!(
                "const FIRST: bool = {first};
                const TILE: u32 = 4u;
                @group(0) @binding(0) var<storage, read> a: array<f32>;
                @group(0) @binding(1) var<storage, read> b: array<f32>;
                @group(0) @binding(2) var<storage, read> c: array<f32>;
                @group(0) @binding(3) var<storage, read_write> out: array<f32>;
                fn of_b(i: u32) -> f32 {{ return b[i]; }}
                @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                    for (var i = 0u; i < TILE; i++) {{
                        if FIRST {{ let v = a[i]; out[i] = v; }} else {{ let v = of_b(i); out[i] = v; }}
                    }}
                    if TILE == 3u {{ out[id.x] = c[id.x]; }}
                }}"
            )
        };
        for (first, kept) in [(true, 0), (false, 1)] {
            let mut module = naga::front::wgsl::parse_str(&text(first)).unwrap();
            prune(&mut module);
            assert_eq!(bindings_of(&module).iter().map(|b| b.0).collect::<Vec<_>>(), [kept, 3]);
            let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
            assert!(validator.validate(&module).is_ok());
        }
    }
}
