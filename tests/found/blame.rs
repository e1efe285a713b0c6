//! Planted faults and what `tl trace` says of them: the step to blame, the reason, and how it is shown.

mod further;
mod named;
mod planted;
mod references;
mod shown;
