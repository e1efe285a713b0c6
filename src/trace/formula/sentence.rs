//! What is said of two formulas: the reference's, and the program's where it is known.

use std::fmt;

use super::attention::{Heads, Mask, Scale, Seen, first_query_sees_more};
use super::norm::Norm;
use super::projection::rounded_weight;
use super::rotation::{Angles, Rotation};
use super::{Context, Target, What, explain};
use crate::graph::RopeStyle;
use crate::trace::names::{StepName, canonical, is_before};
use crate::trace::reason::{Reason, ReasonKind};

/// How the reference's values differ from those that the program gives from the reference's inputs.
pub(in crate::trace) fn told(theirs: &Target<'_>, ours: &Target<'_>, context: &Context<'_>) -> Option<Reason> {
    let their_formula = explain(theirs, context);
    let our_formula = explain(ours, context);
    let (kind, text) = match (&their_formula, &our_formula) {
        (None, None) => return None,
        // The same formula explains both: what differs is less than it can tell.
        (Some(a), Some(b)) if a == b => return None,
        (None, Some(What::Copy(x))) => {
            let text = format!("nothing is done to {x} here: {} is another name of it, and is more in the reference", context.step);
            (ReasonKind::Function, text)
        }
        (None, Some(What::Projection(p))) => (ReasonKind::Bf16Rounding, rounded_weight(theirs, ours, context, p)?),
        (None, Some(_)) => return None,
        (Some(theirs), Some(What::Copy(x))) => left_out(theirs, x),
        (Some(What::Attention(seen)), None) if first_query_sees_more(ours.values, context, seen, ours.slack) => {
            let text = "the causal mask is missing, or other values are read: the first query gives more than its own value, the reference's gives that alone";
            (ReasonKind::Mask, text.to_owned())
        }
        (Some(a), Some(b)) => between(a, b),
        (Some(a), None) => (kind_of(a), format!("in the reference {} is {a}; here it is something else", context.step)),
    };
    let layers = match (&their_formula, &our_formula) {
        (Some(a), Some(b)) => layers(a, b),
        _ => None,
    };
    Some(layers.unwrap_or_else(|| Reason::new(kind, text)))
}

/// What the reference computes at a step that the program does not have, where `x` is read in its place.
pub(in crate::trace) fn left_out_of(theirs: &Target<'_>, missing: &str, x: &str, context: &Context<'_>) -> Option<Reason> {
    let is_earlier = |name: &str| canonical(name) != missing && is_before(name, missing) != Some(false);
    let known = context.known.iter().filter(|k| is_earlier(&k.name)).cloned().collect();
    let formula = explain(theirs, &Context { step: missing.to_owned(), known, ..context.clone() })?;
    let (kind, text) = left_out(&formula, x);
    Some(Reason::new(kind, text))
}

/// The program passes on `x` where the reference computes.
fn left_out(theirs: &What, x: &str) -> (ReasonKind, String) {
    let here = format!("here it is {x}, unchanged");
    match theirs {
        What::Sum(a, _, b) if a == x || b == x => {
            let lost = if a == x { b } else { a };
            (ReasonKind::Function, format!("the residual is lost: {lost} is not added; in the reference it is {theirs}, {here}"))
        }
        What::Norm(n) if n.x == x => (ReasonKind::NormWeight, format!("the norm left out: in the reference it is {theirs}, {here}")),
        What::Rotation(r) if r.x == x => (ReasonKind::Rotation, format!("no rotation: in the reference it is {theirs}, {here}")),
        What::Function(f, a) if a == x => (ReasonKind::Function, format!("{f} left out: in the reference it is {theirs}, {here}")),
        What::Product(a, b) | What::Gated(_, a, b) if a == x || b == x => {
            let lost = if a == x { b } else { a };
            (ReasonKind::Function, format!("the product with {lost} left out: in the reference it is {theirs}, {here}"))
        }
        What::Projection(p) if p.x == x => {
            (ReasonKind::Weight, format!("the projection by {} left out: in the reference it is {theirs}, {here}", p.weight))
        }
        What::Scaled(c, a) if a == x => {
            (ReasonKind::Scale, format!("a factor of {c:.6} left out: in the reference it is {theirs}, {here}"))
        }
        What::Copy(y) => (ReasonKind::Swapped, format!("{x} in the place of {y}")),
        _ => (kind_of(theirs), format!("in the reference it is {theirs}; {here}")),
    }
}

fn between(theirs: &What, ours: &What) -> (ReasonKind, String) {
    let plain = |kind| (kind, format!("in the reference it is {theirs}; here it is {ours}"));
    match (theirs, ours) {
        (What::Rotation(a), What::Rotation(b)) => rotations(a, b),
        (What::Attention(a), What::Attention(b)) => attentions(a, b),
        (What::Norm(a), What::Norm(b)) => norms(a, b),
        (What::Projection(a), What::Projection(b)) if a.bias != b.bias && (&a.x, &a.weight) == (&b.x, &b.weight) => {
            let text = match (&a.bias, &b.bias) {
                (Some(bias), None) => format!("a bias is missing: the reference adds {bias}"),
                (None, Some(bias)) => format!("a bias too many: {bias} is added here and not in the reference"),
                _ => format!("another bias: in the reference it is {theirs}; here it is {ours}"),
            };
            (ReasonKind::Bias, text)
        }
        (What::Projection(a), What::Projection(b)) if a.weight == b.weight && a.form != b.form && a.form.contains("rounded") => {
            (ReasonKind::Weight, format!("the reference's {} is{}, the file's is not", a.weight, a.form))
        }
        (What::Rows(a), What::Rows(b)) if a.shift != b.shift => {
            let text = format!(
                "the vocabulary is shifted by {:+}: in the reference the row of token i is row i {:+} of {} in this file",
                a.shift - b.shift,
                a.shift - b.shift,
                a.table
            );
            (ReasonKind::Vocabulary, text)
        }
        (What::Sum(a, c, b), What::Sum(x, d, y)) if (a, b) == (x, y) => {
            (ReasonKind::Scale, format!("a factor: {b} is added times {c:.6} in the reference and times {d:.6} here"))
        }
        _ => plain(kind_of(theirs)),
    }
}

/// What a layer reads is another layer's output: the order of layers, not the step, is wrong.
fn layers(theirs: &What, ours: &What) -> Option<Reason> {
    let is_stream = |name: &str| {
        let parsed = StepName::parse(name);
        parsed.step == "output" && parsed.layer_idx.is_some() || parsed.layer_idx.is_none() && parsed.step == "embedding"
    };
    let read = |what: &What| what.operands().into_iter().filter(|name| is_stream(name)).map(str::to_owned).collect::<Vec<_>>();
    let (a, b) = (read(theirs), read(ours));
    let (a, b) = (a.first()?, b.first()?);
    (a != b && StepName::parse(a).layer_idx != StepName::parse(b).layer_idx).then(|| {
        let text = format!(
            "layers are in another order, or one is missing: the reference has {a} in the place of {b} here (in the reference it is {theirs})"
        );
        Reason::new(ReasonKind::Layers, text)
    })
}

fn rotations(theirs: &Rotation, ours: &Rotation) -> (ReasonKind, String) {
    let mut parts = Vec::new();
    let mut kind = ReasonKind::Rotation;
    if theirs.x != ours.x {
        parts.push(format!("{} is rotated, here {}", theirs.x, ours.x));
    }
    if theirs.head_dim != ours.head_dim {
        kind = ReasonKind::Heads;
        parts.push(format!("heads have {} values, here {}", theirs.head_dim, ours.head_dim));
    }
    if theirs.n_dims != ours.n_dims {
        parts.push(format!("{} of the {} values of a head are rotated, here {}", theirs.n_dims, theirs.head_dim, ours.n_dims));
    }
    if theirs.style != ours.style {
        kind = ReasonKind::RopeOrder;
        parts.push(format!("RoPE order: pairs are {}, here {}", style(theirs.style), style(ours.style)));
    }
    if theirs.angles != ours.angles {
        parts.push(format!("the angles are those of {}, here of {}", theirs.angles, ours.angles));
    }
    if theirs.first != ours.first {
        kind = ReasonKind::Position;
        parts.push(format!("the first row is at position {}, here at {}", first(theirs), first(ours)));
    }
    if parts.is_empty() {
        parts.push(format!("it is {theirs:?}, here {ours:?}"));
    }
    (kind, format!("another rotation: in the reference {}", parts.join("; ")))
}

fn first(rotation: &Rotation) -> String {
    rotation.first.map_or("no whole number".to_owned(), |p| p.to_string())
}

fn attentions(theirs: &Seen, ours: &Seen) -> (ReasonKind, String) {
    let mut parts = Vec::new();
    let mut kind = ReasonKind::Swapped;
    for (a, b) in [(&theirs.q, &ours.q), (&theirs.k, &ours.k), (&theirs.v, &ours.v)] {
        if a != b {
            parts.push(format!("{b} is read in the place of {a}"));
        }
    }
    if theirs.heads != ours.heads {
        kind = ReasonKind::HeadGroups;
        parts.push(format!("{} here, and in the reference {}", ours.heads, theirs.heads));
    }
    if theirs.scale != ours.scale {
        kind = ReasonKind::AttentionScale;
        parts.push(format!("the scale is {} here, and {} in the reference", ours.scale, theirs.scale));
    }
    if theirs.mask != ours.mask {
        kind = ReasonKind::Mask;
        let missing = if ours.mask == Mask::None { "the causal mask is missing: " } else { "" };
        parts.push(format!("{missing}{} here, and in the reference {}", ours.mask, theirs.mask));
    }
    (kind, parts.join("; "))
}

fn norms(theirs: &Norm, ours: &Norm) -> (ReasonKind, String) {
    let plain = format!("in the reference it is {theirs}; here it is {ours}");
    if theirs.subtracts_mean != ours.subtracts_mean {
        return (ReasonKind::Function, format!("another norm: {plain}"));
    }
    if theirs.x != ours.x {
        return (ReasonKind::Swapped, format!("the norm of another step: {plain}"));
    }
    if theirs.weight != ours.weight {
        return (ReasonKind::NormWeight, format!("another weight of the norm: {plain}"));
    }
    (ReasonKind::NormEps, format!("an eps of {:e} for {:e}: {plain}", theirs.eps as f32, ours.eps as f32))
}

fn kind_of(what: &What) -> ReasonKind {
    match what {
        What::Copy(_) => ReasonKind::Swapped,
        What::Scaled(..) => ReasonKind::Scale,
        What::Sum(..) | What::Product(..) | What::Function(..) | What::Gated(..) => ReasonKind::Function,
        What::Norm(_) => ReasonKind::NormWeight,
        What::Rotation(_) => ReasonKind::Rotation,
        What::Projection(_) => ReasonKind::Weight,
        What::Attention(_) => ReasonKind::Mask,
        What::Rows(_) => ReasonKind::Vocabulary,
    }
}

fn style(style: RopeStyle) -> &'static str {
    match style {
        RopeStyle::Interleaved => "interleaved (2i, 2i + 1)",
        RopeStyle::Neox => "NEOX (i, i + n / 2)",
    }
}

impl What {
    /// The steps it is made of.
    fn operands(&self) -> Vec<&str> {
        match self {
            What::Copy(x) | What::Scaled(_, x) | What::Function(_, x) => vec![x],
            What::Sum(a, _, b) | What::Product(a, b) | What::Gated(_, a, b) => vec![a, b],
            What::Norm(n) => vec![&n.x],
            What::Rotation(r) => vec![&r.x],
            What::Projection(p) => vec![&p.x],
            What::Attention(s) => vec![&s.q, &s.k, &s.v],
            What::Rows(_) => Vec::new(),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Copy(x) => write!(f, "{x} itself"),
            What::Scaled(c, x) => write!(f, "{c:.6} · {x}"),
            What::Sum(a, 1.0, b) => write!(f, "{a} + {b}"),
            What::Sum(a, -1.0, b) => write!(f, "{a} - {b}"),
            What::Sum(a, c, b) => write!(f, "{a} + {c:.6} · {b}"),
            What::Product(a, b) => write!(f, "{a} · {b}"),
            What::Function(name, x) => write!(f, "{name} of {x}"),
            What::Gated(name, a, b) => write!(f, "{name} of {a}, times {b}"),
            What::Norm(n) => write!(f, "{n}"),
            What::Rotation(r) => {
                write!(f, "{} rotated, {} pairs, {} of {} values, {}", r.x, style(r.style), r.n_dims, r.head_dim, r.angles)
            }
            What::Projection(p) => {
                let bias = p.bias.as_ref().map_or(String::new(), |b| format!(" + {b}"));
                write!(f, "the projection of {} by {}{}{bias}", p.x, p.weight, p.form)
            }
            What::Attention(s) => write!(f, "attention of {}, {}, {}, where {}, {}, scale {}", s.q, s.k, s.v, s.mask, s.heads, s.scale),
            What::Rows(r) => write!(f, "row i {:+} of {} for token i, times {}", r.shift, r.table, r.factor),
        }
    }
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.subtracts_mean { "layer norm" } else { "RMS norm" };
        write!(f, "the {name} of {} over {} values with {} and eps {:e}", self.x, self.over, self.weight, self.eps)
    }
}

impl fmt::Display for Angles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Angles::Base { base, scale: 1.0 } => write!(f, "a base of {base}"),
            Angles::Base { base, scale: -1.0 } => write!(f, "a base of {base}, backwards"),
            Angles::Base { base, scale } => write!(f, "a base of {base} with positions times {scale:.5}"),
            Angles::Still => f.write_str("one position for all rows"),
            Angles::Other(a, b) => write!(f, "no one base ({a:.5}, {b:.5}, … radians a position)"),
            Angles::Unsteady => f.write_str("positions that do not go up by one"),
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mask::Causal => f.write_str("queries see their own and all earlier keys"),
            Mask::None => f.write_str("queries see keys after their own position"),
            Mask::OneMore => f.write_str("queries see one key after their own"),
            Mask::NotOwn => f.write_str("queries do not see their own key"),
            Mask::OwnAlone => f.write_str("queries see their own key alone"),
            Mask::FirstUnseen => f.write_str("the first key is unseen"),
            Mask::Window { newest, sinks: 0 } => write!(f, "queries see a window of the {newest} newest keys"),
            Mask::Window { newest, sinks } => write!(f, "queries see a window of the {newest} newest keys, and the first {sinks}"),
        }
    }
}

impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Heads::Grouped => "neighbouring heads share a key-value head",
            Heads::InTurn => "head h reads key-value head h mod G",
            Heads::First => "every head reads key-value head 0",
        })
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scale::RootOfHead => "1 / √D",
            Scale::One => "1",
            Scale::Head => "1 / D",
            Scale::RootOfWidth => "1 / √(H · D)",
        })
    }
}
