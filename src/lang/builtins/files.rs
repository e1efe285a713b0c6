//! Tensors in files.

use std::collections::HashMap;
use std::path::Path;

use crate::format::{Safetensors, save_safetensors};
use crate::lang::interp::Interp;
use crate::lang::session::Tensor;
use crate::lang::value::{Fault, Value};
use crate::output::FileKind;

use super::args::Args;
use super::{Builtin, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "save",
        signature: "save(path: string, tensors: list of (name, tensor))",
        section: "model",
        doc: "Writes tensors by name to a file in the safetensors format, whose name ends so, and which it replaces: `save(\"w.safetensors\", [(\"w\", w)])`.",
        run: Run::Call(save),
    },
    Builtin {
        name: "load",
        signature: "load(path: string, name: string =) -> tensor or list",
        section: "model",
        doc: "One tensor of a safetensors file, or all of them as a list of (name, tensor).",
        run: Run::Call(load),
    },
];

fn save(interp: &mut Interp, args: Args) -> Outcome {
    let path = args.str(0)?;
    let output = interp.output(&path).and_then(|output| output.of_kind(FileKind::SAFETENSORS));
    let output = output.map_err(|e| args.fail(0, Fault::new(e.to_string())))?;
    let wrong = || args.fail(1, Fault::new("what is saved is a list of (name, tensor)").hint("write `[(\"w\", w)]`"));
    let Value::List(items) = args.value(1) else { return Err(wrong()) };
    let mut tensors = Vec::with_capacity(items.0.len());
    for item in &items.0 {
        let Value::Tuple(pair) = item else { return Err(wrong()) };
        match &pair.0[..] {
            [Value::Str(name), Value::Tensor(tensor)] => {
                let host = interp.session.host(tensor)?;
                tensors.push((name.to_string(), (*host).clone()));
            }
            _ => return Err(wrong()),
        }
    }
    save_safetensors(output, &tensors, HashMap::new()).map_err(|e| args.fail(0, Fault::new(e.to_string())))?;
    Ok(Value::Unit)
}

fn load(_: &mut Interp, args: Args) -> Outcome {
    let path = args.str(0)?;
    // Read rather than mapped: a program may write the file anew while it holds what it loaded.
    if Path::new(&*path).extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")) {
        let fault = Fault::new(format!("`load` reads safetensors, and `{path}` is a GGUF file by its name"));
        return Err(args.fail(0, fault.hint(format!("write `get_tensor(load_model(\"{path}\"), name)`"))));
    }
    let file = Safetensors::open(Path::new(&*path), true).map_err(|e| args.fail(0, Fault::new(e.to_string())))?;
    let tensor = |name: &str| file.host(name).map(|host| Value::Tensor(Tensor::from_host(host)));
    if args.is_given(1) {
        let name = args.str(1)?;
        return tensor(&name).ok_or_else(|| args.fail(1, Fault::new(format!("`{path}` has no tensor `{name}`"))));
    }
    let names: Vec<&str> = file.tensors.tensors().iter().map(|t| t.name.as_str()).collect();
    Ok(Value::list(names.into_iter().filter_map(|n| Some(Value::tuple(vec![Value::str(n), tensor(n)?]))).collect()))
}
