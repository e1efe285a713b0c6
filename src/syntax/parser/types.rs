//! Types: `int`, `float32[T, C]`, `(float[T], int)`.

use super::*;

impl Parser<'_> {
    pub(super) fn ty(&mut self) -> TypeExpr {
        self.nested(|span| TypeExpr { kind: TypeKind::Error, span }, Self::ty_inner)
    }

    fn ty_inner(&mut self) -> TypeExpr {
        let start = self.here();
        let kind = if self.at(TokenKind::OpenParen) {
            let (types, _) = self.list(TokenKind::CloseParen, "type", |parser| parser.ty());
            TypeKind::Tuple(types)
        } else if self.at(TokenKind::Ident) || self.at(TokenKind::Fn) || self.at(TokenKind::Nothing) {
            let name = self.name();
            if self.touches(TokenKind::OpenBracket) { TypeKind::Tensor { dtype: name, dims: self.dims() } } else { TypeKind::Name(name) }
        } else {
            let error = self.expectation("a type").hint("such as `int`, `float[T, C]` or `float32[?, 64]`");
            self.error(error);
            TypeKind::Error
        };
        TypeExpr { kind, span: self.span_from(start) }
    }

    fn dims(&mut self) -> Vec<Dim> {
        let (dims, _) = self.list(TokenKind::CloseBracket, "dimension", |parser| parser.dim());
        let rests: Vec<Span> = dims.iter().flatten().filter(|dim| matches!(dim.kind, DimKind::Rest)).map(|dim| dim.span).collect();
        if let [first, second, ..] = rests[..] {
            let error = Diagnostic::error("`...` twice in one type").at(second).reason(first, "the first");
            self.report(error.hint("name the dimensions, or write `?` for each"));
        }
        dims.into_iter().flatten().collect()
    }

    fn dim(&mut self) -> Option<Dim> {
        let span = self.here();
        let kind = match self.peek().kind {
            TokenKind::Ident => DimKind::Name(self.name_of(span)),
            TokenKind::Question => DimKind::Any,
            TokenKind::Ellipsis => DimKind::Rest,
            TokenKind::Int => DimKind::Size(self.int_at(span).unsigned_abs()),
            _ => {
                self.expected("a dimension: a number, a name, `?` or `...`");
                return None;
            }
        };
        self.bump();
        Some(Dim { kind, span })
    }
}
