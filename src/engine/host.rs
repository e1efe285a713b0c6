//! What programs reach of the engine: models by path, their caches and their text.

use std::any::Any;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::format::Metadata;
use crate::graph::{Binding, CacheSpec, CacheUse, Compiled, DeviceTensor, Sampling, Unused, Weight};
use crate::lang::{ChatRequest, DraftRequest, DraftSource, EngineCache, EngineChat, EngineModel, Host, ModelSource, StepOutput};
use crate::model::{BeamRequest, CompletionsRequest, Generator, NgramDrafter, complete};
use crate::tensor::HostTensor;
use crate::text::{Message, Prompt, RenderContext, TokenId};

use super::code::Wanted;
use super::model::CHUNK_MAX;
use super::steps::ModelSteps;
use super::{Backend, EngineError, LoadRequest, LoadedModel, vocabulary};

/// Loads models for programs.
pub struct EngineHost {
    backend: Arc<Backend>,
    request: LoadRequest,
}

impl EngineHost {
    pub fn new(backend: Arc<Backend>, request: LoadRequest) -> Self {
        EngineHost { backend, request }
    }
}

impl Host for EngineHost {
    fn load_model(&mut self, path: &str) -> Result<Arc<dyn EngineModel>, String> {
        let model = LoadedModel::open(Path::new(path), &self.backend, &self.request).map_err(said)?;
        Ok(HostedModel::new(model))
    }

    fn built_in_model(&mut self) -> Result<Arc<dyn EngineModel>, String> {
        let file = super::demo::open().map_err(said)?;
        let model = LoadedModel::from_file(file, &self.backend, &self.request).map_err(said)?;
        Ok(HostedModel::new(model))
    }

    fn load_tokenizer(&mut self, path: &str) -> Result<Arc<dyn EngineModel>, String> {
        vocabulary::open(path)
    }
}

struct HostedModel {
    model: LoadedModel,
    /// No two models that a process loads have the same; an address would be given again once a model is gone.
    number: u64,
    /// The steps of `forward` that hold for any position, by token count and cache.
    steps: Mutex<HashMap<(usize, CacheSpec), Arc<Compiled>>>,
}

impl Drop for HostedModel {
    fn drop(&mut self) {
        let steps = std::mem::take(&mut *self.steps.lock());
        self.release(steps.into_values());
    }
}

/// A model keeps this many steps of `forward`; a program that meets more shapes compiles some of them again.
const MOST_STEPS: usize = 64;

/// A cache with the generator that owns it.
struct HostedCache {
    generator: Mutex<Generator<ModelSteps>>,
    /// The number of the model that it belongs to.
    owner: u64,
    /// The number of the model that drafts, whose own cache stays from one call to the next, and the tokens at a time.
    drafted_by: Mutex<Option<(u64, usize)>>,
}

impl EngineCache for HostedCache {
    fn position(&self) -> Result<usize, String> {
        Ok(self.generator()?.context().position())
    }

    fn clear(&self) -> Result<(), String> {
        self.generator()?.context_mut().clear();
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl HostedCache {
    /// The generator, where no `generate` is under way with it.
    fn generator(&self) -> Result<MutexGuard<'_, Generator<ModelSteps>>, String> {
        let busy = || "this cache is in use by the `generate` that called this function: use another, `KVCache(model)`".to_owned();
        self.generator.try_lock().ok_or_else(busy)
    }
}

fn said(error: EngineError) -> String {
    error.to_string()
}

impl ModelSource for HostedModel {
    fn metadata(&self) -> &Metadata {
        self.model.source.metadata()
    }

    fn weight(&self, name: &str) -> Option<Arc<Weight>> {
        self.model.source.weight(name)
    }

    fn weight_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        self.model.source.weight_names()
    }
}

impl HostedModel {
    fn new(model: LoadedModel) -> Arc<HostedModel> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(HostedModel { model, number: NEXT.fetch_add(1, Ordering::Relaxed), steps: Mutex::default() })
    }

    fn step(&self, wanted: &Wanted, spec: CacheSpec) -> Result<Arc<Compiled>, String> {
        let key = (wanted.n_tokens, spec);
        if let Some(step) = self.steps.lock().get(&key) {
            return Ok(step.clone());
        }
        let step = Arc::new(self.model.compile(wanted, &[spec]).map_err(said)?);
        let mut steps = self.steps.lock();
        if step.pinned.is_none() {
            if steps.len() == MOST_STEPS {
                self.release(steps.drain().map(|(_, step)| step));
            }
            steps.insert(key, step.clone());
        } else {
            // It stays among the executor's unused programs for the run that comes.
            self.release([step.clone()]);
        }
        Ok(step)
    }

    fn release(&self, steps: impl IntoIterator<Item = Arc<Compiled>>) {
        self.model.executor.let_go(steps.into_iter().map(|step| Unused::Program(step.program)));
    }

    fn own<'a>(&self, cache: &'a dyn EngineCache) -> Result<&'a HostedCache, String> {
        match cache.as_any().downcast_ref::<HostedCache>() {
            Some(cache) if cache.owner == self.number => Ok(cache),
            _ => Err("the cache is of another model: make one with `KVCache(model)`".to_owned()),
        }
    }

    /// Tokens that end an answer.
    fn ends(&self) -> Vec<TokenId> {
        self.model.tokenizer().map_or_else(|_| Vec::new(), |tokenizer| tokenizer.eog_ids())
    }

    /// What the ids of a completion say; nothing where the model has no tokenizer.
    fn text(&self, ids: &[TokenId]) -> String {
        let Ok(tokenizer) = self.model.tokenizer() else { return String::new() };
        // As `generate` gives it: bytes at its end that are no whole character are left out.
        let mut decoder = tokenizer.continuation_decoder();
        ids.iter().filter_map(|&id| decoder.push(id)).collect()
    }

    /// Has the generator of a cache draft as a call asks.
    fn set_draft(&self, cache: &HostedCache, generator: &mut Generator<ModelSteps>, draft: Option<&DraftRequest>) -> Result<(), String> {
        let mut drafted_by = cache.drafted_by.lock();
        match draft {
            None => {
                *drafted_by = None;
                generator.remove_drafter();
            }
            Some(DraftRequest { source: DraftSource::Ngram, n }) => {
                *drafted_by = None;
                generator.set_drafter(Box::new(NgramDrafter), *n);
            }
            Some(DraftRequest { source: DraftSource::Model(smaller), n }) => {
                let Some(smaller) = smaller.as_any().downcast_ref::<HostedModel>() else {
                    return Err("a tokenizer alone drafts nothing: give `load_model(\"small.gguf\")`".to_owned());
                };
                if *drafted_by != Some((smaller.number, *n)) {
                    generator.set_drafter(Box::new(self.model.drafter(&smaller.model).map_err(said)?), *n);
                    *drafted_by = Some((smaller.number, *n));
                }
            }
        }
        Ok(())
    }

    /// Ids of rows that the model has.
    fn known(&self, ids: &[i32]) -> Result<Vec<TokenId>, String> {
        let n_rows = self.model.config.vocab_len;
        let known = |&id: &i32| match u32::try_from(id) {
            Ok(known) if (known as usize) < n_rows => Ok(TokenId(known)),
            _ => Err(format!("token {id} is outside of the vocabulary of {n_rows}: ids are 0 to {}", n_rows.saturating_sub(1))),
        };
        ids.iter().map(known).collect()
    }
}

impl EngineModel for HostedModel {
    fn name(&self) -> String {
        self.model.config.name.clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        let file = self.model.file();
        let parts = file.tensors().parts().iter().map(|part| part.path.clone());
        parts.chain([file.path().to_path_buf()]).collect()
    }

    fn new_cache(&self, window: Option<usize>) -> Result<Arc<dyn EngineCache>, String> {
        let generator = self.model.generator_with_window(window).map_err(said)?;
        Ok(Arc::new(HostedCache { generator: Mutex::new(generator), owner: self.number, drafted_by: Mutex::default() }))
    }

    fn forward(&self, tokens: &[i32], cache: &dyn EngineCache) -> Result<DeviceTensor, String> {
        let mut generator = self.own(cache)?.generator()?;
        let ids = self.known(tokens)?;
        if tokens.is_empty() || tokens.len() > CHUNK_MAX {
            return Err(format!("forward takes 1 to {CHUNK_MAX} tokens, not {}", tokens.len()));
        }
        let (spec, position) = (*generator.context().spec(), generator.context().position());
        let wanted = Wanted {
            n_tokens: tokens.len(),
            position,
            n_positions: spec.n_positions(),
            window: spec.window,
            output: StepOutput::Logits,
            exact: true,
        };
        let step = self.step(&wanted, spec)?;
        let input = Binding::Host(Arc::new(HostTensor::i32([tokens.len()], tokens.to_vec())));
        let args = step.args(input, CacheUse { cache: generator.cache(), position }, tokens.len(), Sampling::default());
        let mut executor = self.model.executor.lock();
        executor.record_history(generator.cache(), position, tokens).map_err(|e| e.to_string())?;
        let mut outputs = executor.run(step.program, &args).map_err(|e| e.to_string())?;
        drop(executor);
        generator.context_mut().feed(&ids);
        Ok(outputs.swap_remove(0))
    }

    fn tokenize(&self, text: &str, special: bool) -> Result<Vec<i32>, String> {
        Ok(vocabulary::encode(&*self.model.tokenizer().map_err(said)?, text, special))
    }

    fn detokenize(&self, ids: &[i32]) -> Result<String, String> {
        vocabulary::decode(&*self.model.tokenizer().map_err(said)?, ids)
    }

    fn chat_template(&self, messages: &[(String, String)]) -> Result<Prompt, String> {
        let tokenizer = self.model.tokenizer().map_err(said)?;
        let messages: Vec<Message> = messages.iter().map(|(role, text)| Message::new(role, text)).collect();
        let template = self.model.template().map_err(said)?;
        template.render_prompt(&messages, &RenderContext::for_tokenizer(&tokenizer)).map_err(|e| e.to_string())
    }

    fn tokenize_prompt(&self, prompt: &Prompt) -> Result<Vec<i32>, String> {
        Ok(vocabulary::encode_prompt(&*self.model.tokenizer().map_err(said)?, prompt))
    }

    fn keep_prefix(&self, cache: &dyn EngineCache, prompt: &[i32]) -> Result<usize, String> {
        let mut generator = self.own(cache)?.generator()?;
        let ids = self.known(prompt)?;
        // At least one token is fed, so that there are logits to draw from.
        let keep = generator.context().common_prefix(&ids).min(ids.len().saturating_sub(1));
        if generator.context().can_rewind_to(keep) {
            generator.context_mut().rewind_to(keep);
            return Ok(keep);
        }
        generator.context_mut().clear();
        Ok(0)
    }

    fn chat(&self, request: ChatRequest) -> Result<Arc<dyn EngineChat>, String> {
        super::chat::begin(&self.model, request).map_err(|error| match error {
            EngineError::Sampling(error) => error.of_argument(),
            other => said(other),
        })
    }

    fn generate(
        &self,
        cache: &dyn EngineCache,
        prompt: &[i32],
        sampling: Sampling,
        max_tokens: usize,
        draft: Option<&DraftRequest>,
        on_token: &mut dyn FnMut(i32, &str) -> ControlFlow<()>,
    ) -> Result<Vec<i32>, String> {
        let own = self.own(cache)?;
        let mut generator = own.generator()?;
        self.set_draft(own, &mut generator, draft)?;
        let ids = self.known(prompt)?;
        let tokenizer = self.model.tokenizer().ok();
        let mut decoder = tokenizer.as_ref().map(|t| t.continuation_decoder());
        let mut given = Vec::new();
        generator
            .generate(
                &ids,
                sampling,
                max_tokens,
                |id| tokenizer.as_ref().is_some_and(|t| t.is_eog(id)),
                |_| ControlFlow::Continue(()),
                |id| {
                    given.push(id.0 as i32);
                    let text = decoder.as_mut().and_then(|d| d.push(id)).unwrap_or_default();
                    on_token(id.0 as i32, &text)
                },
            )
            .map_err(said)?;
        Ok(given)
    }

    fn completions(
        &self,
        prompt: &[i32],
        n: usize,
        sampling: Sampling,
        max_tokens: usize,
        on_run: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<String>, String> {
        let request = CompletionsRequest { prompt: self.known(prompt)?, n, sampling, max_tokens, ends: self.ends() };
        let mut scheduler = self.model.scheduler(n + 1).map_err(said)?;
        let (drawn, _) = complete(&mut scheduler, &request, |_| on_run()).map_err(said)?;
        Ok(drawn.iter().map(|completion| self.text(&completion.ids)).collect())
    }

    fn beam_search(
        &self,
        prompt: &[i32],
        beams: usize,
        max_tokens: usize,
        on_run: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<(String, f64)>, String> {
        let request = BeamRequest { prompt: self.known(prompt)?, beams, max_tokens, ends: self.ends() };
        let found = self.model.beam_search(&request, |_, _| on_run()).map_err(said)?;
        Ok(found.iter().map(|beam| (self.text(&beam.ids), beam.logprob)).collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
