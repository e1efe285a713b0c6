//! The variants of kernels that are chosen for a device or a step, each with a simpler form beside it. `TL_KERNELS` switches them off.
//! Subgroups have a switch of their own, `TL_NO_SUBGROUPS`; the shapes for software adapters go with any profile.

use crate::plan::choices;

choices! {
    /// A choice of kernels.
    pub enum Variant ("kernel variant") {
        /// Activations in eight bits; else f32.
        Int8 = "int8",
        /// Matrix units; else tiles of f32.
        Cooperative = "cooperative",
        /// The columns of a sum shared by workgroups, for up to 128 rows on the matrix units; else each sum is one workgroup's.
        SharedColumns = "shared_columns",
        /// Kernels of a few rows; else tiles of many, whatever the number of tokens.
        Matvec = "matvec",
        /// The norm before a linear as its prologue; else a kernel of its own.
        NormPrologue = "norm_prologue",
        /// The gate behind a linear as its epilogue; else a kernel of its own.
        GatedEpilogue = "gated_epilogue",
        /// Rotation and cache write behind a linear as its epilogue; else kernels of their own.
        RopeStoreEpilogue = "rope_store_epilogue",
        /// A long cache cut into parts that are attended to at once, then merged; else one part.
        SplitAttention = "split_attention",
        /// The parts of attention joined by the last workgroup to write one; else by a dispatch of its own.
        JoinedAttention = "joined_attention",
        /// Several query heads a workgroup of attention; else one.
        GroupedHeads = "grouped_heads",
        /// A kernel's numbers with its dispatch; else in a uniform buffer.
        Immediates = "immediates",
        /// The dispatches of a run that is repeated recorded once, on Vulkan; else encoded for each run.
        SecondaryBuffers = "secondary_buffers",
        /// Products of eight bits two in a multiplication of 32, on software adapters; else packed dot products.
        DotPairs = "dot_pairs",
        /// Memory in words of 64 bits, on software adapters; else of 32.
        Words64 = "words_64",
    }
}
