//! Tokens: the words and signs of a program, with what the newline and bracket rules must know about each.

use crate::source::Span;

/// A word or sign. The text is the span's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub span: Span,
    /// A line break stands between this token and the one before it. True for the first token of a file.
    pub newline_before: bool,
    /// White space or a comment stands between this token and the one before it.
    pub space_before: bool,
}

/// Declares the kinds with the text of those that have one fixed text.
macro_rules! kinds {
    (open { $($open:ident),* } words { $($word:ident $word_text:literal),* } signs { $($sign:ident $sign_text:literal),* }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum TokenKind { $($open,)* $($word,)* $($sign,)* }

        impl TokenKind {
            /// The text that every token of this kind has, if there is one.
            pub fn fixed_text(self) -> Option<&'static str> {
                match self {
                    $(TokenKind::$open => None,)*
                    $(TokenKind::$word => Some($word_text),)*
                    $(TokenKind::$sign => Some($sign_text),)*
                }
            }

            pub fn is_keyword(self) -> bool {
                matches!(self, $(TokenKind::$word)|*)
            }

            /// The keyword that a whole word is.
            pub fn keyword(word: &str) -> Option<TokenKind> {
                match word {
                    $($word_text => Some(TokenKind::$word),)*
                    _ => None,
                }
            }
        }

        /// The signs; a longer one stands before those it starts with.
        pub(super) const SIGNS: &[(&str, TokenKind)] = &[$(($sign_text, TokenKind::$sign)),*];
    };
}

kinds! {
    // `Unknown` is text that is no token; the lexer has reported it.
    open { Ident, Int, Float, Str, Unknown, Eof }
    words {
        Fn "fn", Let "let", If "if", Else "else", Match "match", While "while", For "for", In "in", Loop "loop",
        Break "break", Continue "continue", Return "return", Import "import", Struct "struct", True "true", False "false",
        Nothing "none",
        And "and", Or "or", Not "not", As "as"
    }
    // `<-` is no token: `x<-1` compares, and only a statement that starts with an atom reads the two signs as an arrow.
    // Neither is `::`: inside an index it is two colons.
    signs {
        Ellipsis "...", PowAssign "**=",
        DotDot "..", Pow "**", Arrow "->", FatArrow "=>", EqEq "==", NotEq "!=", LessEq "<=", GreaterEq ">=", AndAnd "&&", OrOr "||",
        PlusAssign "+=", MinusAssign "-=", StarAssign "*=", SlashAssign "/=", PercentAssign "%=", AtAssign "@=",
        OpenParen "(", CloseParen ")", OpenBracket "[", CloseBracket "]", OpenBrace "{", CloseBrace "}",
        Comma ",", Semicolon ";", Colon ":", Dot ".", Assign "=", Less "<", Greater ">", Plus "+", Minus "-", Star "*", Slash "/",
        Percent "%", At "@", CircleDot "⊙", Question "?", Bar "|"
    }
}

impl TokenKind {
    /// Whether a line may break after it: what follows belongs to it in any case. `<-` is known to the parser alone.
    pub fn joins_next_line(self) -> bool {
        use TokenKind::*;
        let opens = matches!(self, OpenParen | OpenBracket | OpenBrace | Comma | Assign | Arrow | FatArrow | Bar);
        let assigns = matches!(self, PlusAssign | MinusAssign | StarAssign | SlashAssign | PercentAssign | AtAssign | PowAssign);
        let computes = matches!(self, Plus | Minus | Star | Slash | Percent | At | CircleDot | Pow | DotDot | As);
        let compares = matches!(self, EqEq | NotEq | Less | LessEq | Greater | GreaterEq | And | AndAnd | Or | OrOr);
        opens || assigns || computes || compares
    }

    /// Whether it may start a line and still belong to the statement above.
    pub fn joins_line_above(self) -> bool {
        matches!(self, TokenKind::Dot | TokenKind::Else)
    }

    /// The bracket that closes this one.
    pub fn closer(self) -> Option<TokenKind> {
        match self {
            TokenKind::OpenParen => Some(TokenKind::CloseParen),
            TokenKind::OpenBracket => Some(TokenKind::CloseBracket),
            TokenKind::OpenBrace => Some(TokenKind::CloseBrace),
            _ => None,
        }
    }

    pub fn is_closer(self) -> bool {
        matches!(self, TokenKind::CloseParen | TokenKind::CloseBracket | TokenKind::CloseBrace)
    }

    /// What it is, for a message: `` `fn` ``, `a name`, `a number`.
    pub fn describe(self) -> String {
        match self {
            TokenKind::Ident => "a name".into(),
            TokenKind::Int | TokenKind::Float => "a number".into(),
            TokenKind::Str => "a string".into(),
            TokenKind::Unknown => "unknown text".into(),
            TokenKind::Eof => "the end of the file".into(),
            fixed => format!("`{}`", fixed.fixed_text().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_sign_stands_before_its_prefixes() {
        for (at, (sign, _)) in SIGNS.iter().enumerate() {
            let later = SIGNS[at + 1..].iter().find(|(other, _)| other.starts_with(sign));
            assert_eq!(later, None, "`{sign}` would hide it");
        }
    }
}
