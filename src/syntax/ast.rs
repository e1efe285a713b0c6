//! The tree of a program, as the text alone decides it.
//!
//! Every node has a [`Span`]. Nothing here is resolved: a name is a name, a type is what was written. What the text
//! leaves open is said at the node: a fact such as `Parent(alice, bob)` is a call expression until the evaluator knows
//! that `Parent` is a relation.

use std::sync::Arc;

use crate::source::{FileId, Span};

/// A parsed file: declarations and statements in the order of the text.
#[derive(Clone, Debug)]
pub struct Ast {
    pub file: FileId,
    pub stmts: Vec<Stmt>,
}

/// A name and where it stands.
#[derive(Clone, Debug)]
pub struct Ident {
    pub name: Arc<str>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

/// A statement or a declaration. `Import`, `Struct`, `Main`, `Test` and `Bench` stand only at the top of a file; the
/// parser reports them elsewhere and keeps them in the tree.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// `import "lib.tl"`, `import std.nn`.
    Import(Import),
    /// `fn name(…) { … }`; inside a block it is local to the block.
    Fn(Arc<Function>),
    Struct(Arc<StructDecl>),
    /// `main { … }`.
    Main(Block),
    /// `test name { … }`.
    Test {
        name: Ident,
        body: Block,
    },
    /// `bench name { … }`.
    Bench {
        name: Ident,
        body: Block,
    },

    /// `let x = e`, `let x: T = e`, `let (a, b) = e`, `tensor x: T = e`.
    Let(Let),
    /// `x = e`, `x.f = e`, `x[i] += e`.
    Assign(Assign),
    /// An expression for its effect, or, when it ends a file or a REPL line, its value. A call of a declared relation
    /// is a fact. (A block's last expression is in [`Block::value`].)
    Expr(Expr),
    While {
        cond: Expr,
        body: Block,
    },
    /// `for x in e { … }`; the pattern is a name, `_` or a tuple of them.
    For {
        target: Pattern,
        iter: Expr,
        body: Block,
    },
    Loop(Block),
    Break,
    Continue,
    Return(Option<Expr>),

    /// `relation Parent(x, y)`.
    Relation(RelationDecl),
    /// `entity alice, bob`.
    Entity(Vec<Ident>),
    /// `Head(x, z) <- Body(x, y), Body(y, z)`.
    Rule(Rule),
    /// `Y[i] = W[i, k] X[k]` where `Y` is introduced by no `let`, parameter, loop or pattern in scope.
    Equation(Equation),
    /// `learn { minimize Loss, over: [W], … }`.
    Learn(Learn),

    /// What could not be read; a diagnostic stands for it.
    Error,
}

/// `{ … }`: its own scope; its value is its last expression, else the empty tuple.
#[derive(Clone, Debug)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    /// The last statement, when it is an expression. It is not in `stmts`.
    pub value: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Import {
    pub path: ImportPath,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum ImportPath {
    /// `import "lib.tl"`, relative to the importing file.
    File(Arc<str>),
    /// `import std.nn`.
    Module(Vec<Ident>),
}

/// A function, a method, or a function literal `fn(x) { … }`.
#[derive(Clone, Debug)]
pub struct Function {
    /// `None` for a function literal.
    pub name: Option<Ident>,
    /// A method's first parameter is written `self`, without a type.
    pub params: Vec<Param>,
    pub result: Option<TypeExpr>,
    pub body: Block,
    /// The `//` lines directly above the declaration, without their slashes.
    pub doc: Option<Arc<str>>,
    /// From `fn` to the end of the signature; `body.span` is the rest.
    pub head: Span,
}

#[derive(Clone, Debug)]
pub struct Param {
    /// `mut c`: the function changes its argument.
    pub is_mut: bool,
    pub name: Ident,
    pub ty: Option<TypeExpr>,
    /// `eps: float = 1e-5`; evaluated at each call that leaves it out.
    pub default: Option<Expr>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct StructDecl {
    pub name: Ident,
    pub fields: Vec<FieldDecl>,
    pub methods: Vec<Arc<Function>>,
    pub doc: Option<Arc<str>>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct FieldDecl {
    pub name: Ident,
    pub ty: Option<TypeExpr>,
    pub default: Option<Expr>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct TypeExpr {
    pub kind: TypeKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum TypeKind {
    /// `int`, `float`, `Model`, `Point`, `fn`.
    Name(Ident),
    /// `float32[T, C]`, `float16[?, 64]`, `float[...]`, `int32[]` (a scalar tensor).
    Tensor {
        dtype: Ident,
        dims: Vec<Dim>,
    },
    /// `(float[T], int)`.
    Tuple(Vec<TypeExpr>),
    Error,
}

#[derive(Clone, Debug)]
pub struct Dim {
    pub kind: DimKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum DimKind {
    Size(u64),
    /// One size throughout a call.
    Name(Arc<str>),
    /// `?`: any size.
    Any,
    /// `...`: any number of dimensions, once in a type.
    Rest,
}

#[derive(Clone, Debug)]
pub struct Let {
    /// A name, `_` or a tuple of them.
    pub target: Pattern,
    pub ty: Option<TypeExpr>,
    pub value: Expr,
    /// `tensor x: T = e`: the value is converted to the type. The target is a name and the type is there, unless an error was reported.
    pub converts: bool,
}

#[derive(Clone, Debug)]
pub struct Assign {
    /// [`ExprKind::Name`], [`ExprKind::Field`] or [`ExprKind::Index`].
    pub target: Expr,
    /// `None` for `=`, the operator for `+=` and its like.
    pub op: Option<BinaryOp>,
    pub op_span: Span,
    pub value: Expr,
}

#[derive(Clone, Debug)]
pub struct Pattern {
    pub kind: PatternKind,
    pub span: Span,
}

/// In `let` and `for`: `Wildcard`, `Name` and `Tuple` alone.
#[derive(Clone, Debug)]
pub enum PatternKind {
    /// `_`.
    Wildcard,
    /// Binds the value.
    Name(Ident),
    /// A number with its sign, a string, `true`, `false` or `none`.
    Literal(Literal),
    /// `0..10`: the end is outside.
    Range(i64, i64),
    /// `(a, b)`.
    Tuple(Vec<Pattern>),
    /// `1 | 2 | 3`; binds nothing.
    Any(Vec<Pattern>),
    Error,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    None,
    Int(i64),
    Float(f64),
    Bool(bool),
    Str(Arc<str>),
}

#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    Literal(Literal),
    Name(Arc<str>),
    /// `f16::zeros`, `Point::origin`.
    Path(Ident, Ident),
    /// Kept, because in an equation's index `(i)` is a variable's value, and parentheses place an equation's sums.
    Paren(Box<Expr>),
    /// `[a, b]`: a tensor or a list, by its elements' values.
    List(Vec<Expr>),
    /// `()`, `(a,)`, `(a, b)`.
    Tuple(Vec<Expr>),
    /// `Point { x: 1, y: 2 }`; `Point { x }` is `Point { x: x }`.
    Struct {
        name: Ident,
        fields: Vec<FieldInit>,
    },
    /// `fn(x) { … }`.
    Fn(Arc<Function>),
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    /// `And` and `Or` evaluate their right side only when it matters.
    Binary {
        op: BinaryOp,
        op_span: Span,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `a..b`: the end is outside.
    Range {
        start: Box<Expr>,
        end: Box<Expr>,
    },
    /// `x as int`, `x as float32[T]`.
    As {
        value: Box<Expr>,
        ty: TypeExpr,
    },
    /// `f(x, eps: 1e-5)`. A statement that calls a declared relation is a fact.
    Call {
        callee: Box<Expr>,
        args: Vec<Arg>,
    },
    /// `x.softmax(dim: 0)`, the same as `softmax(x, dim: 0)` unless `x` has such a method.
    Method {
        receiver: Box<Expr>,
        name: Ident,
        args: Vec<Arg>,
    },
    /// `x.name`.
    Field {
        base: Box<Expr>,
        name: Ident,
    },
    /// `x[i, 0:4, ::2]`; `x[]` reads a scalar tensor.
    Index {
        base: Box<Expr>,
        args: Vec<IndexArg>,
    },
    /// `Ancestor(alice, x)?`: its inside is a call of a plain name or an index of one.
    Query(Box<Expr>),
    If {
        branches: Vec<Branch>,
        otherwise: Option<Block>,
    },
    Match {
        subject: Box<Expr>,
        arms: Vec<Arm>,
    },
    /// `{ … }` as a value or a statement.
    Block(Block),
    /// `*t` in an equation's index: an index that is not stored. `*t + 1` is a sum of this and 1.
    Unstored(Ident),
    /// What could not be read; a diagnostic stands for it.
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Neg,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Or,
    And,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    /// `@`.
    MatMul,
    /// `⊙`: the same as `*`.
    Hadamard,
    /// `W[i, k] X[k]` in an equation: a product without a sign.
    Juxtapose,
    Pow,
}

/// An argument of a call; named ones come after all others.
#[derive(Clone, Debug)]
pub struct Arg {
    pub name: Option<Ident>,
    /// `mut c`: the call changes what stands here.
    pub is_mut: bool,
    pub value: Expr,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct FieldInit {
    pub name: Ident,
    pub value: Expr,
}

/// One entry between the brackets of an index.
#[derive(Clone, Debug)]
pub struct IndexArg {
    pub kind: IndexArgKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum IndexArgKind {
    /// A position; in an equation also an index, `(e)` for a variable's value, `x + dx`, `x / S`, `*t`.
    At(Expr),
    /// `a:b`, `:`, `::2`, `a:b:c`.
    Slice { start: Option<Expr>, end: Option<Expr>, step: Option<Expr> },
    /// `p'.` in an equation: the index that softmax and its like normalize over.
    Normalized(Ident),
}

/// `if cond { … }` or one `else if` of it.
#[derive(Clone, Debug)]
pub struct Branch {
    pub cond: Expr,
    pub body: Block,
}

/// `pattern if guard => body`. A body that is one expression is a block of that value alone.
#[derive(Clone, Debug)]
pub struct Arm {
    pub pattern: Pattern,
    pub guard: Option<Expr>,
    pub body: Block,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct RelationDecl {
    pub name: Ident,
    /// Names for the reader alone.
    pub params: Vec<Ident>,
}

/// `Name(term, …)`; a term is a name, a number or a string.
#[derive(Clone, Debug)]
pub struct Atom {
    pub name: Ident,
    pub args: Vec<Expr>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub head: Atom,
    pub body: Vec<Condition>,
}

/// One conjunct of a rule's body.
#[derive(Clone, Debug)]
pub enum Condition {
    Atom {
        atom: Atom,
        negated: bool,
    },
    /// A [`ExprKind::Binary`] whose operator compares.
    Compare(Expr),
}

/// `Y[i] = W[i, k] X[k]`.
#[derive(Clone, Debug)]
pub struct Equation {
    pub name: Ident,
    /// Empty for a scalar, `Loss[] = …`.
    pub indices: Vec<IndexArg>,
    pub projection: Projection,
    pub value: Expr,
}

/// What becomes of an index of the right side that the left lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Projection {
    /// `=`.
    Sum,
    /// `max=`.
    Max,
    /// `min=`.
    Min,
    /// `avg=`.
    Avg,
}

/// `learn { minimize Loss, over: [W], optimizer: adamw(lr: 0.01), epochs: 100 }`.
#[derive(Clone, Debug)]
pub struct Learn {
    pub objective: Expr,
    /// `over`, `optimizer`, `epochs` and what else the evaluator knows, in the order of the text.
    pub options: Vec<FieldInit>,
}

impl Ident {
    pub fn new(name: &str, span: Span) -> Ident {
        Ident { name: name.into(), span }
    }
}

impl Expr {
    pub fn new(kind: ExprKind, span: Span) -> Expr {
        Expr { kind, span }
    }

    /// The expression as an atom: a call of a plain name with positional arguments.
    pub fn as_atom(&self) -> Option<Atom> {
        let ExprKind::Call { callee, args } = &self.kind else { return None };
        let ExprKind::Name(name) = &callee.kind else { return None };
        let args = args.iter().map(|arg| arg.name.is_none().then(|| arg.value.clone())).collect::<Option<_>>()?;
        Some(Atom { name: Ident { name: name.clone(), span: callee.span }, args, span: self.span })
    }
}

impl UnaryOp {
    pub fn symbol(self) -> &'static str {
        match self {
            UnaryOp::Neg => "-",
            UnaryOp::Not => "not",
        }
    }
}

impl BinaryOp {
    /// The operator as it is written; a space for juxtaposition.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Or => "or",
            BinaryOp::And => "and",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Rem => "%",
            BinaryOp::MatMul => "@",
            BinaryOp::Hadamard => "⊙",
            BinaryOp::Juxtapose => " ",
            BinaryOp::Pow => "**",
        }
    }

    /// `==`, `!=`, `<`, `<=`, `>`, `>=`.
    pub fn is_comparison(self) -> bool {
        matches!(self, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge)
    }
}
