//! The interpreter: files, global variables, and what a program may reach outside itself.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::diag::{Diagnostic, any_error};
use crate::graph::SharedExecutor;
use crate::source::{FileId, SourceMap, Span};
use crate::syntax::ast::{Ast, Import, ImportPath, StmtKind};
use crate::syntax::{parse, parse_after};

use super::eval::{CallArg, Eval, Frame, Signal};
use super::hir::{Block, Decl, Module, Place, Type};
use super::host::{Host, ModelHandle};
use super::model::ConfigPath;
use super::random::RandomStream;
use super::resolve::{GlobalName, ModuleScope, resolve};
use super::session::Session;
use super::stdlib;
use super::tensor_use::Ignored;
use super::value::{Closure, StructDef, Value};

/// A program larger than this is no program.
const SOURCE_BYTES_MAX: u64 = 16 << 20;

/// What a program may reach outside itself.
#[derive(Default)]
pub struct Options {
    /// Without one, tensors can be built but not computed.
    pub executor: Option<SharedExecutor>,
    /// Without one, there are no models.
    pub host: Option<Box<dyn Host>>,
    /// Where `print` writes; nowhere by default.
    pub out: Option<Box<dyn Write + Send>>,
    /// What `args()` gives.
    pub args: Vec<String>,
    /// Set by Ctrl-C; seen in every loop and call.
    pub interrupt: Option<Arc<AtomicBool>>,
}

/// A program's state. Errors leave it usable: a REPL goes on with the next line.
pub struct Interp {
    pub sources: SourceMap,
    pub session: Session,
    /// Warnings and notes so far; whoever shows them takes them.
    pub notes: Vec<Diagnostic>,
    pub(super) globals: Vec<Option<Value>>,
    pub(super) host: Option<Box<dyn Host>>,
    pub(super) out: Box<dyn Write + Send>,
    pub(super) args: Vec<String>,
    pub(super) interrupt: Option<Arc<AtomicBool>>,
    pub(super) depth: usize,
    pub(super) noted: HashSet<Span>,
    pub(super) started: Instant,
    /// Where random functions without a seed take theirs, so that no two calls agree and a program does the same at every run.
    pub(super) random: RandomStream,
    /// The types that `let` gave global variables, by slot: they hold for later assignments.
    pub(super) global_types: HashMap<u32, Arc<Type>>,
    /// The tensors that a model's program does not need.
    pub(super) ignored: Ignored,
    /// Whether it is a model's program.
    pub(super) has_model: bool,
    prelude: HashMap<Arc<str>, u32>,
    modules: HashMap<String, ModuleScope>,
    /// What models were loaded from: files, and folders of them.
    pub(super) model_files: Vec<PathBuf>,
    /// Whether `print` asks for text, which shows a tensor of a trace by its type. What a program goes on with has its values.
    pub(super) is_printing: bool,
    /// The files being imported, outermost first.
    importing: Vec<String>,
    /// The scope of the program itself, and of a REPL's lines.
    scope: ModuleScope,
    /// The program's own file.
    pub(super) program: FileId,
}

/// The outcome of one `test` block.
pub struct TestOutcome {
    pub name: String,
    pub span: Span,
    /// `None`: it passed.
    pub error: Option<Diagnostic>,
}

/// The value of a REPL line, as text, or nothing for a line that has none.
pub type Shown = Option<String>;

impl Interp {
    /// # Errors
    /// Those of the library's own files, which a build with passing tests does not have.
    pub fn new(options: Options) -> Result<Interp, Vec<Diagnostic>> {
        if let (Some(executor), Some(flag)) = (&options.executor, &options.interrupt) {
            executor.lock().watch_interrupt(flag);
        }
        let mut interp = Interp {
            sources: SourceMap::new(),
            session: Session::new(options.executor),
            notes: Vec::new(),
            globals: Vec::new(),
            host: options.host,
            out: options.out.unwrap_or_else(|| Box::new(std::io::sink())),
            args: options.args,
            interrupt: options.interrupt,
            depth: 0,
            noted: HashSet::new(),
            started: Instant::now(),
            random: RandomStream::new(0),
            global_types: HashMap::new(),
            ignored: Ignored::default(),
            has_model: false,
            prelude: HashMap::new(),
            modules: HashMap::new(),
            model_files: Vec::new(),
            is_printing: false,
            importing: Vec::new(),
            scope: ModuleScope::default(),
            program: FileId(0),
        };
        for (name, text) in stdlib::PRELUDE {
            let scope = interp.load(&format!("std.{name}"), text, None)?;
            for (name, global) in &scope.names {
                if !global.imported {
                    interp.prelude.insert(name.clone(), global.slot);
                }
            }
        }
        Ok(interp)
    }

    /// Gives a model's program its `model` and `config`.
    pub(super) fn provide_model(&mut self, model: ModelHandle) {
        self.has_model = true;
        self.provide("config", Value::Config(ConfigPath::root(model.source.clone())));
        self.provide("model", Value::Model(model));
    }

    fn provide(&mut self, name: &str, value: Value) {
        self.prelude.insert(name.into(), self.globals.len() as u32);
        self.globals.push(Some(value));
    }

    /// Runs a program: its statements in order, then its `main`.
    ///
    /// # Errors
    /// Every error of the text, or the one that stopped it.
    pub fn run_file(&mut self, path: &Path) -> Result<(), Vec<Diagnostic>> {
        let text = read_source(path)?;
        self.run_source(&path.to_string_lossy(), &text, path.parent())
    }

    /// The same for a text in memory. Imports are relative to `folder`.
    ///
    /// # Errors
    /// Every error of the text, or the one that stopped it.
    pub fn run_source(&mut self, name: &str, text: &str, folder: Option<&Path>) -> Result<(), Vec<Diagnostic>> {
        let module = self.prepare_program(name, text, folder)?;
        let outcome = self.run_module(&module, true);
        self.ended(outcome)
    }

    /// Runs a file's statements and then each of its `test` blocks whose name holds `filter`.
    ///
    /// # Errors
    /// When the file itself does not run.
    pub fn run_tests(&mut self, path: &Path, filter: &str) -> Result<Vec<TestOutcome>, Vec<Diagnostic>> {
        let text = read_source(path)?;
        let module = self.prepare_program(&path.to_string_lossy(), &text, path.parent())?;
        let outcome = self.run_module(&module, false);
        self.ended(outcome)?;
        let mut outcomes = Vec::new();
        // Each test draws what it would draw alone, whatever the filter.
        let random = self.random;
        for test in module.tests.iter().filter(|t| t.name.contains(filter)) {
            self.random = random;
            let mut frame = Frame::new(module.n_locals, None);
            let result = self.block(&mut frame, &test.body).map(|_| ());
            let error = self.ended(result).err().and_then(|errors| errors.into_iter().next());
            outcomes.push(TestOutcome { name: test.name.to_string(), span: test.span, error });
        }
        Ok(outcomes)
    }

    /// The names of a file's `bench` blocks, with each run once by `run` as often as the caller likes.
    ///
    /// # Errors
    /// When the file or a block does not run.
    pub fn run_benches(
        &mut self,
        path: &Path,
        filter: &str,
        mut each: impl FnMut(&str, &mut dyn FnMut() -> Result<(), Diagnostic>),
    ) -> Result<(), Vec<Diagnostic>> {
        let text = read_source(path)?;
        let module = self.prepare_program(&path.to_string_lossy(), &text, path.parent())?;
        let outcome = self.run_module(&module, false);
        self.ended(outcome)?;
        for bench in module.benches.iter().filter(|b| b.name.contains(filter)) {
            let mut failure = None;
            each(&bench.name, &mut || {
                let mut frame = Frame::new(module.n_locals, None);
                let result = self.block(&mut frame, &bench.body).map(|_| ());
                let finished = self.session.finish();
                let finished = self.placed(finished, bench.span);
                self.ended(result.and(finished)).map_err(|errors| {
                    let error = errors.into_iter().next().unwrap_or_else(|| Diagnostic::error("the block failed"));
                    failure = Some(error.clone());
                    error
                })
            });
            if let Some(error) = failure {
                return Err(vec![error]);
            }
        }
        Ok(())
    }

    /// What is wrong with a text that can be told without running it. Names of a text that imports others are not looked up, as imports run.
    pub fn check(&self, text: &str) -> Vec<Diagnostic> {
        let (ast, mut found) = parse(FileId(0), text);
        if any_error(&found) || ast.stmts.iter().any(|stmt| matches!(stmt.kind, StmtKind::Import(_))) {
            return found;
        }
        let mut prelude = self.prelude.clone();
        let mut n_globals = self.globals.len() as u32;
        // It may be a model's program.
        for name in ["model", "config"] {
            prelude.entry(name.into()).or_insert(n_globals);
            n_globals += 1;
        }
        found.extend(resolve(&ast, &mut ModuleScope::default(), &prelude, &mut n_globals).err().unwrap_or_default());
        found
    }

    /// Evaluates a line of a REPL after all lines before it, and gives its value as text.
    ///
    /// # Errors
    /// Every error of the line, or the one that stopped it.
    pub fn run_line(&mut self, text: &str) -> Result<Shown, Vec<Diagnostic>> {
        let file = self.sources.add("<repl>", text);
        let scope = std::mem::take(&mut self.scope);
        let variables: Vec<&str> = scope.names.keys().map(|n| &**n).collect();
        let (ast, diagnostics) = parse_after(file, text, &variables);
        let prepared = self.prepare(&ast, diagnostics, scope.clone(), std::env::current_dir().ok().as_deref());
        let (module, new_scope) = match prepared {
            Ok(prepared) => prepared,
            Err(errors) => {
                self.scope = scope;
                return Err(errors);
            }
        };
        self.scope = new_scope;
        self.declare(&module);
        let mut frame = Frame::new(module.n_locals, Some("".into()));
        let mut last = Value::Unit;
        let mut outcome = Ok(());
        for stmt in &module.stmts {
            match self.stmt(&mut frame, stmt) {
                Ok(value) => last = value,
                Err(signal) => {
                    outcome = Err(signal);
                    break;
                }
            }
        }
        if let (Ok(()), Some(main)) = (&outcome, &module.main) {
            outcome = self.block(&mut frame, main).map(|_| ());
        }
        self.ended(outcome)?;
        if matches!(last, Value::Unit) {
            return Ok(None);
        }
        let span = Span::new(file, 0, text.len() as u32);
        let text = self.debug_text(&last);
        match self.placed(text, span) {
            Ok(text) => Ok(Some(text)),
            Err(signal) => self.ended(Err(signal)).map(|()| None),
        }
    }

    /// The names a REPL may complete: what the program declared, and the library.
    pub fn visible_names(&self) -> Vec<String> {
        let own = self.scope.names.keys().chain(self.prelude.keys()).map(|n| n.to_string());
        let mut names: Vec<String> = own.chain(super::builtins::names().map(str::to_owned)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// What a name of the program's top level stands for.
    pub(super) fn top_level(&self, name: &str) -> Option<&Value> {
        self.scope.names.get(name).and_then(|global| self.globals.get(global.slot as usize)).and_then(Option::as_ref)
    }

    /// Calls a function of the program by name.
    ///
    /// # Errors
    /// When there is no such function, or it fails.
    pub(super) fn call_function(&mut self, name: &str, args: Vec<Value>, at: Span) -> Result<Value, Vec<Diagnostic>> {
        let Some(Value::Fn(closure)) = self.top_level(name).cloned() else {
            return Err(vec![Diagnostic::error(format!("the program has no function `{name}`")).at(at)]);
        };
        let args = args.into_iter().map(|value| CallArg::positional(value, at)).collect();
        match self.call_labelled(Some("".into()), &closure, args, at) {
            Ok(value) => Ok(value),
            Err(signal) => self.ended(Err(signal)).map(|()| Value::Unit),
        }
    }

    /// Computes the tensors that the program's variables hold, so that they outlive its graph.
    pub(super) fn compute_globals(&mut self, at: Span) -> Result<(), Vec<Diagnostic>> {
        let computed = self.session.force_all();
        let computed = self.placed(computed, at);
        self.ended(computed)
    }

    fn prepare_program(&mut self, name: &str, text: &str, folder: Option<&Path>) -> Result<Module, Vec<Diagnostic>> {
        let file = self.sources.add(name, text);
        self.program = file;
        let (ast, diagnostics) = parse(file, text);
        self.importing.push(module_key(Path::new(name)));
        let prepared = self.prepare(&ast, diagnostics, ModuleScope::default(), folder);
        self.importing.pop();
        let (module, scope) = prepared?;
        self.scope = scope;
        self.declare(&module);
        Ok(module)
    }

    /// Imports and resolves what was parsed.
    fn prepare(
        &mut self,
        ast: &Ast,
        diagnostics: Vec<Diagnostic>,
        mut scope: ModuleScope,
        folder: Option<&Path>,
    ) -> Result<(Module, ModuleScope), Vec<Diagnostic>> {
        if any_error(&diagnostics) {
            return Err(diagnostics);
        }
        self.notes.extend(diagnostics);
        for stmt in &ast.stmts {
            if let StmtKind::Import(import) = &stmt.kind {
                let imported = self.import(import, folder)?;
                for (name, global) in imported.names.iter().filter(|(_, g)| !g.imported) {
                    let global = GlobalName { imported: true, ready: true, ..global.clone() };
                    scope.names.insert(name.clone(), global);
                }
            }
        }
        let mut n_globals = self.globals.len() as u32;
        let module = resolve(ast, &mut scope, &self.prelude, &mut n_globals);
        self.globals.resize_with(n_globals as usize, || None);
        Ok((module?, scope))
    }

    /// Makes a module's functions and structs.
    fn declare(&mut self, module: &Module) {
        let closure = |code: &Arc<super::hir::FnCode>| Arc::new(Closure { code: code.clone(), captured: Vec::new() });
        for decl in &module.decls {
            let (slot, value) = match decl {
                Decl::Fn(slot, code) => (*slot, Value::Fn(closure(code))),
                Decl::Struct(slot, code) => {
                    let methods = code.methods.iter().map(closure).collect();
                    (*slot, Value::StructType(Arc::new(StructDef { code: code.clone(), methods })))
                }
            };
            self.globals[slot as usize] = Some(value);
        }
    }

    fn run_module(&mut self, module: &Module, with_main: bool) -> Eval<()> {
        let mut frame = Frame::new(module.n_locals, Some("".into()));
        for stmt in &module.stmts {
            self.stmt(&mut frame, stmt)?;
        }
        if let (Some(main), true) = (&module.main, with_main) {
            self.run_block(&mut frame, main)?;
        }
        Ok(())
    }

    fn run_block(&mut self, frame: &mut Frame, block: &Block) -> Eval<()> {
        self.block(frame, block).map(|_| ())
    }

    /// The end of a run: what it printed goes out, and an error leaves no half-built graph behind.
    pub(super) fn ended(&mut self, outcome: Eval<()>) -> Result<(), Vec<Diagnostic>> {
        // Whoever reads the output may have gone; that is no error of the program.
        let _ = self.out.flush();
        match outcome {
            Ok(()) => Ok(()),
            Err(Signal::Error(error)) => {
                self.depth = 0;
                self.session.abandon();
                Err(vec![*error])
            }
            Err(Signal::Return(_) | Signal::Break | Signal::Continue) => Ok(()),
        }
    }

    fn import(&mut self, import: &Import, folder: Option<&Path>) -> Result<ModuleScope, Vec<Diagnostic>> {
        let fail = |message: String| vec![Diagnostic::error(message).at(import.span)];
        let (key, text, own_folder) = match &import.path {
            ImportPath::Module(parts) => {
                let name = parts.iter().map(|p| &*p.name).collect::<Vec<_>>().join(".");
                match name.strip_prefix("std.").and_then(stdlib::find) {
                    Some(text) => (name, text.to_owned(), None),
                    None => {
                        let known: Vec<String> = stdlib::names().map(|n| format!("std.{n}")).collect();
                        let error = Diagnostic::error(format!("there is no module `{name}`")).at(import.span);
                        return Err(vec![
                            error.hint(format!("there are {}; a file is imported by its path: `import \"lib.tl\"`", known.join(", "))),
                        ]);
                    }
                }
            }
            ImportPath::File(path) => {
                let full: PathBuf = folder.map_or_else(|| PathBuf::from(&**path), |f| f.join(&**path));
                let key = module_key(&full);
                if let Some(scope) = self.modules.get(&key) {
                    return Ok(scope.clone());
                }
                let text = read_source(&full).map_err(|errors| errors.into_iter().map(|e| e.at(import.span)).collect::<Vec<_>>())?;
                (key, text, full.parent().map(Path::to_owned))
            }
        };
        if let Some(scope) = self.modules.get(&key) {
            return Ok(scope.clone());
        }
        if let Some(from) = self.importing.iter().position(|k| *k == key) {
            let mut chain: Vec<String> = self.importing[from..].iter().map(|k| short_name(k)).collect();
            chain.push(short_name(&key));
            return Err(fail(format!("files import each other: {}", chain.join(" -> "))));
        }
        self.load(&key, &text, own_folder.as_deref())
    }

    /// Runs a module's statements once and keeps its names for every further import.
    fn load(&mut self, key: &str, text: &str, folder: Option<&Path>) -> Result<ModuleScope, Vec<Diagnostic>> {
        let file = self.sources.add(&short_name(key), text);
        let (ast, diagnostics) = parse(file, text);
        self.importing.push(key.to_owned());
        let prepared = self.prepare(&ast, diagnostics, ModuleScope::default(), folder);
        self.importing.pop();
        let (module, scope) = prepared?;
        self.declare(&module);
        let outcome = self.run_module(&module, false);
        self.ended(outcome)?;
        self.modules.insert(key.to_owned(), scope.clone());
        Ok(scope)
    }

    pub(super) fn global_at(&self, place: Place) -> Option<&Value> {
        match place {
            Place::Global(slot) => self.globals.get(slot as usize).and_then(Option::as_ref),
            _ => None,
        }
    }
}

/// One name for one file, however it is reached.
fn module_key(path: &Path) -> String {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

fn short_name(key: &str) -> String {
    if key.starts_with("std.") {
        key.to_owned()
    } else {
        Path::new(key).file_name().map_or_else(|| key.to_owned(), |n| n.to_string_lossy().into_owned())
    }
}

fn read_source(path: &Path) -> Result<String, Vec<Diagnostic>> {
    let shown = path.display();
    let fail = |message: String| vec![Diagnostic::error(message)];
    let size = fs::metadata(path).map_err(|e| fail(format!("cannot read `{shown}`: {e}")))?.len();
    if size > SOURCE_BYTES_MAX {
        return Err(fail(format!("`{shown}` has {size} bytes: a program has at most {SOURCE_BYTES_MAX}")));
    }
    let bytes = fs::read(path).map_err(|e| fail(format!("cannot read `{shown}`: {e}")))?;
    String::from_utf8(bytes).map_err(|e| fail(format!("`{shown}` is no UTF-8 text: byte {} is not", e.utf8_error().valid_up_to())))
}
