//! Beam search with a loaded model.

use std::ops::ControlFlow;

use crate::graph::{CacheSpec, PAGE};
use crate::model::{Beam, BeamRequest, beam_search};

use super::steps::ModelSteps;
use super::{EngineError, LoadedModel};

impl LoadedModel {
    /// The likeliest completions of a prompt that a search with so many beams finds, the likeliest first. `on_run` is called before each run with the
    /// tokens read and given so far, and may break off.
    ///
    /// # Errors
    /// Those of [`beam_search`], of the window, and of the device.
    pub fn beam_search(
        &self,
        request: &BeamRequest,
        on_run: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Vec<Beam>, EngineError> {
        let request = BeamRequest { beams: request.beams.max(1), ..request.clone() };
        let spec = self.spec_with_window(None)?;
        // Beams share the pages of the prompt; each has its own of what it gives, one that the prompt ends in and one that is copied.
        let own = request.max_tokens.div_ceil(PAGE) + 2;
        let places = (spec.n_pages() + request.beams * own).min(request.beams * spec.n_pages());
        let spec = CacheSpec { sequences: request.beams, places, ..spec };
        let mut steps = ModelSteps::new(self.code.clone(), spec);
        beam_search(&self.executor, &mut steps, (&spec, self.chunk), &request, on_run)
    }
}
