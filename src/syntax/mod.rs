//! The front end: text to tree. Never fails, never panics; every error of a file is reported.

mod format;
mod lexer;
mod literal;
mod token;

pub mod ast;
mod dump;
mod parser;

pub use dump::dump;
pub use format::format;
pub use lexer::{Lexed, continues_name, lex, starts_name};
pub use parser::{MAX_HEIGHT, parse, parse_after};
pub use token::{Token, TokenKind};

use crate::source::FileId;

/// Whether a text stops in the middle: a bracket or a comment is open, or its last line asks for another. A prompt
/// reads on instead of reporting an error.
pub fn is_incomplete(text: &str) -> bool {
    let lexed = lex(FileId(0), text);
    let mut open = 0usize;
    let mut last = TokenKind::Eof;
    for token in lexed.tokens.iter().filter(|token| token.kind != TokenKind::Eof) {
        open = if token.kind.closer().is_some() { open + 1 } else { open.saturating_sub(token.kind.is_closer() as usize) };
        last = token.kind;
    }
    open > 0 || lexed.open_comment || last.joins_next_line()
}
