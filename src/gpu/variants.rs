//! The variants of kernels that are chosen for a device or a step, each with a simpler form beside it. `TL_KERNELS` switches them off.
//! Subgroups have a switch of their own, `TL_NO_SUBGROUPS`; the shapes for software adapters go with any profile.

use crate::plan::Choice;

/// A choice of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Activations in eight bits; else f32.
    Int8,
    /// Matrix units; else tiles of f32.
    Cooperative,
    /// Kernels of a few rows; else tiles of many, whatever the number of tokens.
    Matvec,
    /// The norm before a linear as its prologue; else a kernel of its own.
    NormPrologue,
    /// The gate behind a linear as its epilogue; else a kernel of its own.
    GatedEpilogue,
    /// Rotation and cache write behind a linear as its epilogue; else kernels of their own.
    RopeStoreEpilogue,
    /// A long cache cut into parts that are attended to at once, then merged; else one part.
    SplitAttention,
    /// The parts of attention joined by the last workgroup to write one; else by a dispatch of its own.
    JoinedAttention,
    /// Several query heads a workgroup of attention; else one.
    GroupedHeads,
    /// A kernel's numbers with its dispatch; else in a uniform buffer.
    Immediates,
    /// Memory in words of 64 bits, on software adapters; else of 32.
    Words64,
}

impl Choice for Variant {
    const KIND: &'static str = "kernel variant";

    const ALL: &'static [Variant] = &[
        Variant::Int8,
        Variant::Cooperative,
        Variant::Matvec,
        Variant::NormPrologue,
        Variant::GatedEpilogue,
        Variant::RopeStoreEpilogue,
        Variant::SplitAttention,
        Variant::JoinedAttention,
        Variant::GroupedHeads,
        Variant::Immediates,
        Variant::Words64,
    ];

    fn name(self) -> &'static str {
        match self {
            Variant::Int8 => "int8",
            Variant::Cooperative => "cooperative",
            Variant::Matvec => "matvec",
            Variant::NormPrologue => "norm_prologue",
            Variant::GatedEpilogue => "gated_epilogue",
            Variant::RopeStoreEpilogue => "rope_store_epilogue",
            Variant::SplitAttention => "split_attention",
            Variant::JoinedAttention => "joined_attention",
            Variant::GroupedHeads => "grouped_heads",
            Variant::Immediates => "immediates",
            Variant::Words64 => "words_64",
        }
    }
}
