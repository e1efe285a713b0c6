//! Written types.

use crate::diag::Diagnostic;
use crate::lang::hir::{DTypePattern, Dim, Place, Type, TypeKind};
use crate::lang::types::dtype_of_name;
use crate::syntax::ast;

use super::Resolver;
use super::scope::{Meaning, nearest};

/// The type names of the language other than dtypes and structs.
const TYPE_NAMES: [(&str, TypeKind); 18] = [
    ("int", TypeKind::Int),
    ("float", TypeKind::Float),
    ("bool", TypeKind::Bool),
    ("string", TypeKind::Str),
    ("str", TypeKind::Str),
    ("list", TypeKind::List),
    ("tuple", TypeKind::AnyTuple),
    ("range", TypeKind::Range),
    ("fn", TypeKind::Fn),
    ("tensor", TypeKind::AnyTensor),
    ("Model", TypeKind::Model),
    ("Layer", TypeKind::Layer),
    ("Config", TypeKind::Config),
    ("Cache", TypeKind::Cache),
    ("Tokenizer", TypeKind::Tokenizer),
    ("Rotation", TypeKind::Rotation),
    ("Chat", TypeKind::Chat),
    ("none", TypeKind::Tuple(Vec::new())),
];

impl Resolver<'_> {
    pub(super) fn ty(&mut self, ty: &ast::TypeExpr) -> Type {
        let kind = match &ty.kind {
            ast::TypeKind::Name(name) => self.named_type(name),
            ast::TypeKind::Tensor { dtype, dims } => {
                let pattern = match &*dtype.name {
                    "float" => Some(DTypePattern::AnyFloat),
                    name => dtype_of_name(name).map(DTypePattern::Exact),
                };
                let Some(dtype) = pattern else {
                    let mut error = Diagnostic::error(format!("unknown element type `{}`", dtype.name)).at(dtype.span);
                    error = match &*dtype.name {
                        "int" => error.hint("write `int32[…]`"),
                        "float64" => error.hint("tensors are float32 at most: write `float32[…]`"),
                        _ => error.hint("write `float32[…]`, `float16[…]`, `int32[…]`, `bool[…]` or `float[…]`"),
                    };
                    self.error(error);
                    return Type { kind: TypeKind::AnyTensor, span: ty.span };
                };
                let dims = dims
                    .iter()
                    .map(|dim| match &dim.kind {
                        ast::DimKind::Size(n) => Dim::Size(usize::try_from(*n).unwrap_or(usize::MAX)),
                        ast::DimKind::Name(name) => Dim::Name(name.clone(), dim.span),
                        ast::DimKind::Any => Dim::Any,
                        ast::DimKind::Rest => Dim::Rest,
                    })
                    .collect();
                TypeKind::Tensor { dtype, dims }
            }
            ast::TypeKind::Tuple(parts) => TypeKind::Tuple(parts.iter().map(|p| self.ty(p)).collect()),
            ast::TypeKind::Error => TypeKind::AnyTuple,
        };
        Type { kind, span: ty.span }
    }

    /// A `tensor` declaration's type names a dtype.
    pub(super) fn check_tensor_type(&mut self, ty: &Type) {
        // A type that is itself an error was reported.
        if matches!(ty.kind, TypeKind::Tensor { .. } | TypeKind::AnyTensor | TypeKind::AnyTuple) {
            return;
        }
        let error = Diagnostic::error(format!("`tensor` declares a tensor, not {}", ty.describe())).at(ty.span);
        self.error(error.hint("write `float32[…]`, or `let` instead of `tensor`"));
    }

    fn named_type(&mut self, name: &ast::Ident) -> TypeKind {
        if let Some((_, kind)) = TYPE_NAMES.iter().find(|(n, _)| **n == *name.name) {
            return kind.clone();
        }
        if let Some(dtype) = dtype_of_name(&name.name) {
            return TypeKind::Tensor { dtype: DTypePattern::Exact(dtype), dims: vec![Dim::Rest] };
        }
        match self.meaning(&name.name) {
            Some(Meaning::Variable(place @ Place::Global(_))) => return TypeKind::Struct(place, name.name.clone()),
            Some(_) => self.error(Diagnostic::error(format!("`{}` is no type", name.name)).at(name.span)),
            None => {
                let mut error = Diagnostic::error(format!("unknown type `{}`", name.name)).at(name.span);
                let structs = self.scope.names.keys().map(|n| &**n);
                if let Some(near) = nearest(&name.name, TYPE_NAMES.iter().map(|(n, _)| *n).chain(structs)) {
                    error = error.hint(format!("did you mean `{near}`?"));
                }
                self.error(error);
            }
        }
        TypeKind::AnyTuple
    }
}
