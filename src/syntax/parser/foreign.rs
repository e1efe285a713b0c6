//! Words and signs of other languages: what each is written as here.

use super::*;
use TokenKind as T;

impl Parser<'_> {
    /// A statement that starts with a word of another language. It is reported with what to write, and its line is skipped.
    pub(super) fn foreign_statement(&mut self) -> Option<StmtKind> {
        let (word, next) = (self.text_of(self.here()), self.peek_at(1));
        if next.newline_before {
            return None;
        }
        let name = self.text_of(next.span);
        let starts_value = matches!(next.kind, T::Ident | T::Int | T::Float | T::Str | T::Not | T::True | T::False);
        let hint = match (word, next.kind) {
            ("def" | "func" | "function" | "fun" | "proc", T::Ident) => format!("a function is `fn {name}(x) {{ … }}`"),
            ("class" | "interface" | "trait" | "type", T::Ident) => format!("a record is `struct {name} {{ … }}`"),
            ("var" | "const" | "val" | "auto" | "local", T::Ident) => format!("a variable is `let {name} = …`"),
            ("test" | "bench", T::Str) => format!("the name has no quotes: `{word} name {{ … }}`"),
            ("print" | "println" | "echo", _) if starts_value => format!("write `print({name})`"),
            ("assert", _) if starts_value => "write `assert(x > 1, \"why\")`".into(),
            ("from", T::Ident) => "write `import \"lib.tl\"` or `import std.nn`; the library itself needs no import".into(),
            ("elif" | "elsif" | "elseif", _) if starts_value => "write `else if … { … }`".into(),
            ("impl", _) => "methods stand inside the record: `struct P { x: float, fn f(self) { … } }`".into(),
            ("switch", T::Ident) => format!("write `match {name} {{ 1 => …, _ => … }}`"),
            ("foreach", T::Ident) => "write `for x in xs { … }`".into(),
            ("until" | "unless", _) if starts_value => "write `while not … { … }` or `if not … { … }`".into(),
            ("do" | "repeat", T::OpenBrace) => "write `loop { … }`, with `break` where it ends".into(),
            ("try", T::OpenBrace | T::Colon) => "this version catches no errors: test before, or let the program end".into(),
            ("raise" | "throw", T::Ident) => "write `assert(false, \"why\")`".into(),
            ("del" | "global" | "nonlocal", T::Ident) => {
                "it is not needed: a variable ends with its block, and is seen in the blocks inside".into()
            }
            ("with" | "async" | "await" | "yield" | "public" | "static" | "export", T::Ident) => "leave it out".into(),
            _ => return None,
        };
        self.error(Diagnostic::error(format!("`{word}` is no word of the language")).at(self.here()).hint(hint));
        self.skip_statement();
        Some(StmtKind::Error)
    }

    /// `lambda x: e` and `f"…"`, from their first word on.
    pub(super) fn foreign_value(&mut self) -> Option<ExprKind> {
        let (word, next) = (self.text_of(self.here()), self.peek_at(1));
        match (word, next.kind) {
            ("lambda", T::Ident | T::Colon) if !next.newline_before => {
                let error = Diagnostic::error("`lambda` is no word of the language").at(self.here());
                self.error(error.hint("a function as a value is `fn(x) { x + 1 }`"));
                while !self.line_ended() && !matches!(self.peek().kind, T::Eof | T::Comma) && !self.peek().kind.is_closer() {
                    self.skip_one();
                }
                // What follows has been reported with it.
                self.reported_at = Some(self.at);
            }
            ("f" | "F" | "r" | "b", T::Str) if !next.space_before => {
                let span = self.here().to(next.span);
                let error = Diagnostic::error(format!("a string has no letter before its quote, such as `{word}`")).at(span);
                self.error(error.hint("values are put in by `\"{} of {:.2}\".format(a, b)`"));
                self.bump();
                self.bump();
            }
            _ => return None,
        }
        Some(ExprKind::Error)
    }

    /// What to write instead of the token that stands where a statement should have ended; empty where nothing is known.
    /// `start` is the statement's first token.
    pub(super) fn foreign_sign(&self, start: usize) -> &'static str {
        let next = self.peek();
        let first = self.tokens[start].kind;
        let only_first = self.at == start + 1;
        match next.kind {
            T::Colon if self.pair_at(self.at, T::Colon, T::Assign) => "a variable is introduced by `let x = …`",
            T::Colon if only_first && first == T::Str => "there are no dicts: write pairs `[(\"a\", 1), (\"b\", 2)]`, or a `struct`",
            T::Colon if only_first && first == T::Ident => {
                "`=` assigns; a record in the head of an `if` stands in parentheses: `if (P { x: 1 }).x { … }`"
            }
            T::Assign => "only a name, a field or an index can be assigned to",
            T::CloseParen | T::CloseBracket => "it closes nothing",
            T::Bar => "write `or`",
            T::If => "a choice is `if c { a } else { b }`",
            T::In => "write `xs.contains(x)`",
            T::Not if self.peek_at(1).kind == T::In => "write `not xs.contains(x)`",
            T::For => "write `xs.map(fn(x) { … })`",
            T::Ident => match self.text_of(next.span) {
                "is" => "write `==`",
                "then" | "do" => "a block stands in braces: `{ … }`",
                "elif" | "elsif" | "elseif" => "write `else if … { … }`",
                "learnable" => "this version computes no gradients: leave `learnable` out",
                _ => "",
            },
            _ => "",
        }
    }

    /// The same where an item of a list should have ended.
    pub(super) fn foreign_in_list(&self) -> &'static str {
        match self.peek().kind {
            T::For => "write `xs.map(fn(x) { … })`",
            T::If => "a choice is `if c { a } else { b }`",
            T::In => "write `xs.contains(x)`",
            T::Bar => "write `or`",
            T::Ident if self.text_of(self.here()) == "is" => "write `==`",
            _ => "",
        }
    }
}
