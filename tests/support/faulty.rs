//! An executor that is wrong on purpose: the reference, or a backend, with one fault planted.

use std::sync::Arc;

use tensorlogic::graph::{
    Binding, CacheId, CacheSpec, CompileOptions, Counters, DeviceTensor, ExecError, Executor, Graph, Node, NodeId, Op, ProgramId, RunArgs,
    Weight,
};
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::tensor::HostTensor;
use tensorlogic::trace::copy_node;

/// Gives the node that takes the place of `node`, whose inputs are in the new graph already; `None` leaves it.
pub type Edit = Box<dyn Fn(&mut Graph, &Node, &[NodeId]) -> Option<NodeId> + Send>;
/// Changes the values of a step; the others are those of the steps that were asked for.
pub type Tamper = Box<dyn Fn(&mut HostTensor, &[HostTensor]) + Send>;

pub enum Fault {
    /// Another computation.
    Edit(Edit),
    /// Other values of the step of this label, given those of other labels.
    Tamper { label: &'static str, reads: Vec<&'static str>, tamper: Tamper },
}

impl Fault {
    pub fn edit(edit: impl Fn(&mut Graph, &Node, &[NodeId]) -> Option<NodeId> + Send + 'static) -> Self {
        Fault::Edit(Box::new(edit))
    }

    /// An edit of the node of one label.
    pub fn at(label: &'static str, edit: impl Fn(&mut Graph, &Node, &[NodeId]) -> NodeId + Send + 'static) -> Self {
        Fault::edit(move |g, node, inputs| (node.label.as_deref() == Some(label)).then(|| edit(g, node, inputs)))
    }

    /// Other bytes of the weights that `change` changes.
    pub fn weight(change: impl Fn(&Weight, &mut Vec<u8>) -> bool + Send + 'static) -> Self {
        Fault::edit(move |g, node, _| {
            let Op::Weight(weight) = &node.op else { return None };
            let mut bytes = weight.source.bytes().unwrap().into_owned();
            let changed = change(weight, &mut bytes);
            changed.then(|| g.weight(Arc::new(Weight::new(&weight.name, weight.shape.clone(), weight.dtype, Arc::new(bytes)))))
        })
    }

    pub fn tamper(label: &'static str, tamper: impl Fn(&mut HostTensor) + Send + 'static) -> Self {
        Fault::Tamper { label, reads: Vec::new(), tamper: Box::new(move |values, _| tamper(values)) }
    }

    pub fn tamper_reading(
        label: &'static str,
        reads: &[&'static str],
        tamper: impl Fn(&mut HostTensor, &[HostTensor]) + Send + 'static,
    ) -> Self {
        Fault::Tamper { label, reads: reads.to_vec(), tamper: Box::new(tamper) }
    }
}

/// The graph with every node passed through `edit`, and where each went.
pub fn edited(graph: &Graph, edit: impl Fn(&mut Graph, &Node, &[NodeId]) -> Option<NodeId>) -> (Graph, Vec<NodeId>) {
    let mut to = Graph::new();
    let mut ids: Vec<NodeId> = Vec::new();
    for (id, node) in graph.nodes() {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| ids[i.0 as usize]).collect();
        let new = match edit(&mut to, node, &inputs) {
            Some(new) => new,
            None if graph.tokens() == Some(id) => to.tokens_input(node.shape[0]),
            None => copy_node(&mut to, node, &inputs, graph.literals()).unwrap(),
        };
        if let Some(label) = &node.label {
            to.set_label(new, label);
        }
        ids.push(new);
    }
    (to, ids)
}

enum Program {
    Plain(ProgramId),
    /// What gives the step and what it reads; then the rest, with the step as the last input.
    InTwo {
        before: ProgramId,
        after: ProgramId,
    },
}

pub struct FaultyExecutor {
    inner: Box<dyn Executor>,
    fault: Fault,
    programs: Vec<Program>,
}

impl FaultyExecutor {
    pub fn new(fault: Fault) -> Self {
        FaultyExecutor::of(ReferenceExecutor::new(), fault)
    }

    pub fn of(inner: impl Executor + 'static, fault: Fault) -> Self {
        FaultyExecutor { inner: Box::new(inner), fault, programs: Vec::new() }
    }
}

fn labelled(graph: &Graph, label: &str) -> NodeId {
    graph.nodes().find(|(_, n)| n.label.as_deref() == Some(label)).unwrap_or_else(|| panic!("no step is called {label}")).0
}

impl Executor for FaultyExecutor {
    fn describe(&self) -> String {
        "faulty".to_owned()
    }

    fn compile(&mut self, graph: &Graph, outputs: &[NodeId], options: &CompileOptions) -> Result<ProgramId, ExecError> {
        let program = match &self.fault {
            Fault::Edit(edit) => {
                let (graph, ids) = edited(graph, edit);
                let outputs: Vec<NodeId> = outputs.iter().map(|o| ids[o.0 as usize]).collect();
                Program::Plain(self.inner.compile(&graph, &outputs, options)?)
            }
            Fault::Tamper { label, reads, .. } => {
                let mut seen = vec![labelled(graph, label)];
                seen.extend(reads.iter().map(|r| labelled(graph, r)));
                let before = self.inner.compile(graph, &seen, options)?;
                let (rest, ids) =
                    edited(graph, |g, node, _| (node.label.as_deref() == Some(*label)).then(|| g.input(node.shape.clone(), node.dtype)));
                let outputs: Vec<NodeId> = outputs.iter().map(|o| ids[o.0 as usize]).collect();
                Program::InTwo { before, after: self.inner.compile(&rest, &outputs, options)? }
            }
        };
        self.programs.push(program);
        Ok(ProgramId(self.programs.len() as u32 - 1))
    }

    fn run(&mut self, program: ProgramId, args: &RunArgs) -> Result<Vec<DeviceTensor>, ExecError> {
        // Edits may add literals, which the caller cannot number.
        let mut args = RunArgs { literals: Vec::new(), ..args.clone() };
        match self.programs[program.0 as usize] {
            Program::Plain(program) => self.inner.run(program, &args),
            Program::InTwo { before, after } => {
                let seen = self.inner.run(before, &args)?;
                let mut values = seen.iter().map(|t| self.inner.read(t)).collect::<Result<Vec<_>, _>>()?;
                let read = values.split_off(1);
                let Fault::Tamper { tamper, .. } = &self.fault else { unreachable!("only such programs are in two") };
                tamper(&mut values[0], &read);
                args.inputs.push(Binding::Host(Arc::new(values.remove(0))));
                self.inner.run(after, &args)
            }
        }
    }

    fn upload(&mut self, tensor: &HostTensor) -> Result<DeviceTensor, ExecError> {
        self.inner.upload(tensor)
    }

    fn read(&mut self, tensor: &DeviceTensor) -> Result<HostTensor, ExecError> {
        self.inner.read(tensor)
    }

    fn finish(&mut self) -> Result<(), ExecError> {
        self.inner.finish()
    }

    fn new_cache(&mut self, spec: &CacheSpec) -> Result<CacheId, ExecError> {
        self.inner.new_cache(spec)
    }

    fn free_cache(&mut self, cache: CacheId) {
        self.inner.free_cache(cache);
    }

    fn record_history(&mut self, cache: CacheId, position: usize, ids: &[i32]) -> Result<(), ExecError> {
        self.inner.record_history(cache, position, ids)
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}
