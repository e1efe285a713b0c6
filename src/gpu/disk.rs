//! What one start of the program leaves for the next: compiled pipelines, and the kernel shapes that measured best, by adapter and driver.
//! Nothing here is needed: a file that is missing, damaged or cannot be written costs time, never a run.

use std::path::{Path, PathBuf};

use super::device::Gpu;
use crate::environment;
use crate::output::{Output, OutputError};

/// The user's folder for caches: `TL_CACHE`, where empty means none; else `tl` under `XDG_CACHE_HOME`, or where the system keeps such files.
pub fn cache_dir() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(folder) = environment::CACHE.path() {
        return folder;
    }
    let home = || var("HOME").filter(|h| !h.as_os_str().is_empty());
    let base = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home().map(|h| h.join("Library/Caches"))
    } else {
        var("XDG_CACHE_HOME").filter(|x| x.is_absolute()).or_else(|| home().map(|h| h.join(".cache")))
    };
    Some(base?.join("tl"))
}

/// The file for this adapter and driver.
pub fn file_of(gpu: &Gpu, ending: &str) -> Option<PathBuf> {
    let info = &gpu.info;
    let name = format!("{}-{}-{:x}-{:x}-{}-{}", info.backend.to_str(), info.name, info.vendor, info.device, info.driver, info.driver_info);
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' }).collect();
    Some(gpu.options.cache_dir.as_ref()?.join(format!("{plain}.{ending}")))
}

/// Writes a file in the folder of caches, which is made where it is absent.
///
/// # Errors
/// Those of the output.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| OutputError::Io { path: path.to_path_buf(), source })?;
    }
    Output::from(path).write_bytes(bytes)
}
