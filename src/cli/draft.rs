//! What `--draft` asks for.

use std::path::Path;

use tensorlogic::engine::{Backend, LoadedModel, ModelSteps};
use tensorlogic::model::{Generator, NgramDrafter, Timing};

use super::args::{ComputeArgs, DraftArgs, WindowArgs};
use super::error::CliResult;
use super::setup::load;

impl DraftArgs {
    /// Has a generator of `model` draft, where it is asked for.
    ///
    /// # Errors
    /// When the draft model cannot be loaded, or has another vocabulary.
    pub fn set(
        &self,
        generator: &mut Generator<ModelSteps>,
        model: &LoadedModel,
        backend: &Backend,
        compute: &ComputeArgs,
        window: &WindowArgs,
    ) -> CliResult {
        let Some(draft) = &self.draft else { return Ok(()) };
        if draft == Path::new("ngram") {
            generator.set_drafter(Box::new(NgramDrafter), self.draft_n);
            return Ok(());
        }
        // `--arch` is the program of the model that answers.
        let compute = ComputeArgs { arch: None, ..compute.clone() };
        let smaller = load(Some(draft), backend, &compute.load_request(Some(window)))?;
        generator.set_drafter(Box::new(model.drafter(&smaller)?), self.draft_n);
        Ok(())
    }
}

/// What `--stats` says of a generation.
pub fn stats(timing: &Timing) -> String {
    let decode = timing.decode.as_secs_f64();
    let rate = if decode > 0.0 { timing.decode_tokens.saturating_sub(1) as f64 / decode } else { 0.0 };
    let drafts = match timing.drafted {
        0 => String::new(),
        drafted => format!(", {} of {drafted} drafted tokens accepted", timing.accepted),
    };
    let (read, given) = (timing.prefill_tokens, timing.decode_tokens);
    format!("{read} tokens read in {:.2} s, {given} given at {rate:.1} tok/s{drafts}", timing.prefill.as_secs_f64())
}
