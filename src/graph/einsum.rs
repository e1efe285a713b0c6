//! Einsum specifications: `ihd,jhd->ihj`.

use crate::tensor::Shape;

/// Index letters of one or two operands and of the result. A letter the result lacks is summed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EinsumSpec {
    /// One or two lists of letters, one letter a dimension.
    pub operands: Vec<Vec<char>>,
    pub output: Vec<char>,
}

impl EinsumSpec {
    /// Parses `ij,jk->ik`; without `->` the output has the letters that occur once, in alphabetical order.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<EinsumSpec, String> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (text.as_str(), None),
        };
        let operands: Vec<Vec<char>> = left.split(',').map(|s| s.chars().collect()).collect();
        if operands.is_empty() {
            return Err(format!("an einsum takes one operand or more, `{text}` has none"));
        }
        if let Some(c) =
            operands.iter().flatten().chain(right.unwrap_or("").chars().collect::<Vec<_>>().iter()).find(|c| !c.is_alphabetic())
        {
            return Err(format!("an einsum index is a letter, `{text}` has `{c}`"));
        }
        let output = match right {
            Some(right) => right.chars().collect(),
            None => {
                let mut once: Vec<char> = Vec::new();
                for &c in operands.iter().flatten() {
                    if operands.iter().flatten().filter(|&&d| d == c).count() == 1 {
                        once.push(c);
                    }
                }
                once.sort_unstable();
                once
            }
        };
        for (i, c) in output.iter().enumerate() {
            if output[..i].contains(c) {
                return Err(format!("the result of `{text}` has `{c}` twice"));
            }
            if !operands.iter().flatten().any(|d| d == c) {
                return Err(format!("the result of `{text}` has `{c}`, which no operand has"));
            }
        }
        Ok(EinsumSpec { operands, output })
    }

    /// The size of each letter and the shape of the result.
    ///
    /// # Errors
    /// When an operand's rank or a letter's size disagrees.
    pub fn infer(&self, shapes: &[&Shape]) -> Result<(Vec<(char, usize)>, Shape), String> {
        if shapes.len() != self.operands.len() {
            return Err(format!("the specification names {} operands, {} are given", self.operands.len(), shapes.len()));
        }
        let mut sizes: Vec<(char, usize)> = Vec::new();
        for (i, (letters, shape)) in self.operands.iter().zip(shapes).enumerate() {
            if letters.len() != shape.rank() {
                return Err(format!("operand {} has {} indices, its tensor is {shape}", i + 1, letters.len()));
            }
            for (&c, &n) in letters.iter().zip(shape.dims()) {
                match sizes.iter().find(|(d, _)| *d == c) {
                    Some(&(_, m)) if m != n => return Err(format!("index `{c}` is {m} and {n}")),
                    Some(_) => {}
                    None => sizes.push((c, n)),
                }
            }
        }
        let size_of = |c: &char| sizes.iter().find(|(d, _)| d == c).map_or(1, |s| s.1);
        let shape = Shape::new(self.output.iter().map(size_of).collect::<Vec<_>>());
        Ok((sizes, shape))
    }
}
