//! Architectures held to exact logits.
