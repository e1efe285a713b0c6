//! Faults of the device, from wgpu's callbacks into values.

use std::sync::{Arc, Mutex, PoisonError};

use crate::environment::EnvironmentError;
use crate::graph::{ExecError, Origin};

/// No device, or none of the kind that was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GpuError {
    #[error("no adapter matches {asked}; there are: {present}")]
    NoAdapter { asked: String, present: String },
    #[error("cannot open {adapter}: {message}")]
    Open { adapter: String, message: String },
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
}

/// The first fault that a callback reported and that no call has returned yet. A lost device stays lost.
#[derive(Clone, Debug, Default)]
pub struct FaultState(Arc<Mutex<Faulty>>);

#[derive(Debug, Default)]
struct Faulty {
    error: Option<ExecError>,
    lost: Option<String>,
}

impl FaultState {
    /// Routes the device's callbacks here.
    pub fn attach(&self, device: &wgpu::Device) {
        let state = self.clone();
        device.on_uncaptured_error(Arc::new(move |error| state.report(&error)));
        let state = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            let text = if message.is_empty() { format!("{reason:?}") } else { message };
            state.with(|s| s.lost = s.lost.take().or(Some(text)));
        });
    }

    fn report(&self, error: &wgpu::Error) {
        let error = match error {
            wgpu::Error::OutOfMemory { .. } => {
                ExecError::OutOfMemory { mb: 0, what: "a submit".to_owned(), hint: "lower --ctx or take a smaller model".to_owned() }
            }
            other => ExecError::Device { message: first_lines(&other.to_string()), origin: Origin::default() },
        };
        log::error!("{error}");
        self.with(|s| s.error = s.error.take().or(Some(error)));
    }

    /// The fault reported since the last call, if any.
    ///
    /// # Errors
    /// That fault.
    pub fn check(&self) -> Result<(), ExecError> {
        self.with(|s| match (&s.lost, s.error.take()) {
            (Some(lost), _) => Err(ExecError::DeviceLost(lost.clone())),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(()),
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Faulty) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A device's message without the long tail that some drivers append.
pub fn first_lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).take(12).collect::<Vec<_>>().join("; ")
}
