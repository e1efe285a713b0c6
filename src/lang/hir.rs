//! The program with its names resolved: what the evaluator walks.
//!
//! A name is a slot here. Locals live in the frame of a call, globals in one array of the interpreter, and a function
//! literal shares the variables that it captures.

use std::sync::Arc;

use crate::source::Span;
use crate::syntax::ast::{BinaryOp, UnaryOp};
use crate::tensor::DType;

use super::builtins::Builtin;
use super::value::Value;

/// Where a variable lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Of the frame.
    Local(u32),
    /// Of the closure that runs.
    Captured(u32),
    Global(u32),
}

#[derive(Clone)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    pub value: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone)]
pub enum StmtKind {
    /// `converts`: a `tensor` declaration, which makes a tensor of the type's dtype and shape.
    Let {
        target: Pattern,
        ty: Option<Arc<Type>>,
        value: Expr,
        converts: bool,
    },
    Assign {
        target: Target,
        op: Option<BinaryOp>,
        op_span: Span,
        value: Expr,
    },
    Expr(Expr),
    While {
        cond: Expr,
        body: Block,
    },
    For {
        target: Pattern,
        iter: Expr,
        body: Block,
    },
    Loop(Block),
    Break,
    Continue,
    Return(Option<Expr>),
}

/// What an assignment changes: a variable, and the way from it inwards.
#[derive(Clone)]
pub struct Target {
    pub root: Place,
    pub root_name: Arc<str>,
    /// The type that a local root was declared with: it holds for what is assigned later. A global's is the interpreter's to know.
    pub root_type: Option<Arc<Type>>,
    /// Where the root is declared, when it is a parameter without `mut`, which its function may not change.
    pub fixed: Option<Span>,
    pub steps: Vec<Step>,
    pub span: Span,
}

#[derive(Clone)]
pub enum Step {
    Field(Arc<str>, Span),
    Index(Vec<IndexArg>, Span),
}

#[derive(Clone)]
pub struct Pattern {
    pub kind: PatternKind,
    pub span: Span,
}

#[derive(Clone)]
pub enum PatternKind {
    Wildcard,
    Bind(Place, Arc<str>),
    Literal(Value),
    Range(i64, i64),
    Tuple(Vec<Pattern>),
    Any(Vec<Pattern>),
}

#[derive(Clone)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Clone)]
pub enum ExprKind {
    Const(Value),
    Read(Place, Arc<str>),
    /// The size that a dimension's name has in this call.
    Dim(Arc<str>),
    /// The function that runs: a local function's own name, so that it does not capture itself.
    Myself,
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Struct {
        def: Box<Expr>,
        fields: Vec<(Arc<str>, Span, Expr)>,
    },
    Closure(Arc<FnCode>),
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        op_span: Span,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Range {
        start: Box<Expr>,
        end: Box<Expr>,
    },
    As {
        value: Box<Expr>,
        ty: Type,
    },
    Call {
        callee: Box<Expr>,
        args: Vec<Arg>,
    },
    /// `function` is what the name means where it stands; a receiver with a method of that name goes before it.
    Method {
        receiver: Receiver,
        name: Arc<str>,
        name_span: Span,
        function: Option<Box<Expr>>,
        args: Vec<Arg>,
    },
    Field {
        base: Box<Expr>,
        name: Arc<str>,
        name_span: Span,
    },
    /// `Point::origin`.
    StaticMethod {
        def: Box<Expr>,
        name: Arc<str>,
        name_span: Span,
    },
    /// `f16::zeros`: the builtin with its dtype given.
    WithDType(&'static Builtin, DType),
    Index {
        base: Box<Expr>,
        args: Vec<IndexArg>,
    },
    If {
        branches: Vec<(Expr, Block)>,
        otherwise: Option<Block>,
    },
    Match {
        subject: Box<Expr>,
        arms: Vec<Arm>,
    },
    Block(Block),
}

#[derive(Clone)]
pub enum Receiver {
    Value(Box<Expr>),
    /// Something that can be assigned to, since a method may change it.
    Place(Box<Target>),
}

#[derive(Clone)]
pub struct Arm {
    pub pattern: Pattern,
    pub guard: Option<Expr>,
    pub body: Block,
}

#[derive(Clone)]
pub struct Arg {
    pub name: Option<(Arc<str>, Span)>,
    pub value: ArgValue,
    pub span: Span,
}

#[derive(Clone)]
pub enum ArgValue {
    Of(Expr),
    /// `mut c`: lent to the call, which changes it.
    Lent(Box<Target>),
}

#[derive(Clone)]
pub enum IndexArg {
    At(Expr),
    Slice(Box<SliceArg>),
}

/// `start:end:step`.
#[derive(Clone)]
pub struct SliceArg {
    pub start: Option<Expr>,
    pub end: Option<Expr>,
    pub step: Option<Expr>,
    pub span: Span,
}

/// A function's code.
pub struct FnCode {
    pub name: Option<Arc<str>>,
    pub params: Vec<Param>,
    pub result: Option<Type>,
    pub body: Block,
    pub n_locals: u32,
    pub captures: Vec<CaptureFrom>,
    /// The signature's span.
    pub head: Span,
    pub doc: Option<Arc<str>>,
    /// Its first parameter is `self`.
    pub is_method: bool,
}

impl FnCode {
    /// Whether a call changes its first argument, as a method does that takes `mut self`.
    pub fn changes_first(&self) -> bool {
        self.params.first().is_some_and(|p| p.is_mut)
    }

    /// The name for messages.
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or("fn")
    }
}

#[derive(Clone)]
pub struct Param {
    pub is_mut: bool,
    pub name: Arc<str>,
    pub place: u32,
    pub ty: Option<Type>,
    pub default: Option<Expr>,
    pub span: Span,
}

/// Which variable of the enclosing function a capture shares.
#[derive(Clone, Copy, Debug)]
pub enum CaptureFrom {
    Local(u32),
    Captured(u32),
}

pub struct StructCode {
    pub name: Arc<str>,
    pub fields: Vec<Field>,
    pub methods: Vec<Arc<FnCode>>,
    pub span: Span,
    pub doc: Option<Arc<str>>,
}

pub struct Field {
    pub name: Arc<str>,
    pub ty: Option<Type>,
    /// Evaluated at each construction that leaves the field out, with this many locals of its own.
    pub default: Option<(Expr, u32)>,
    pub span: Span,
}

#[derive(Clone)]
pub struct Type {
    pub kind: TypeKind,
    pub span: Span,
}

#[derive(Clone)]
pub enum TypeKind {
    Int,
    Float,
    Bool,
    Str,
    List,
    AnyTuple,
    Range,
    Fn,
    /// Any tensor.
    AnyTensor,
    Model,
    Layer,
    Config,
    Cache,
    Tokenizer,
    Rotation,
    Chat,
    Struct(Place, Arc<str>),
    Tuple(Vec<Type>),
    Tensor {
        dtype: DTypePattern,
        dims: Vec<Dim>,
    },
}

/// What a tensor type admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DTypePattern {
    /// `float[…]`: any float, a block format as well.
    AnyFloat,
    Exact(DType),
}

#[derive(Clone)]
pub enum Dim {
    Size(usize),
    Name(Arc<str>, Span),
    Any,
    Rest,
}

/// A file, resolved.
pub struct Module {
    /// Functions and structs: made before any statement runs.
    pub decls: Vec<Decl>,
    pub stmts: Vec<Stmt>,
    pub main: Option<Block>,
    pub tests: Vec<NamedBlock>,
    pub benches: Vec<NamedBlock>,
    pub n_locals: u32,
}

pub enum Decl {
    Fn(u32, Arc<FnCode>),
    Struct(u32, Arc<StructCode>),
}

#[derive(Clone)]
pub struct NamedBlock {
    pub name: Arc<str>,
    pub span: Span,
    pub body: Arc<Block>,
}
