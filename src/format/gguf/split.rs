//! Models in several files, `<prefix>-00001-of-00003.gguf` and so on, as llama.cpp's gguf-split writes them: each part is
//! a GGUF file with its own directory, and the first has the metadata.

use std::path::{Path, PathBuf};

use super::header::{Header, MAGIC};
use crate::format::{FormatError, Metadata, Part};

/// Parts that a model may have. The largest published ones have some dozens; each part is an open file.
const MAX_PARTS: u64 = 1_000;

/// The paths of all parts in order, `path` among them, or `None` for a model in one file.
pub(super) fn other_parts(path: &Path, metadata: &Metadata) -> Result<Option<Vec<PathBuf>>, FormatError> {
    let Some(count) = n_parts(path, metadata)? else {
        return Ok(None);
    };
    let number = metadata.u64("split.no").unwrap_or(0);
    let Some((prefix, no, of)) = part_name(path) else {
        let message =
            format!("is part {} of {count}, but is not named like `model-{:05}-of-{count:05}.gguf`; rename it", number + 1, number + 1);
        return Err(FormatError::invalid(path, message));
    };
    if (no, of) != (number + 1, count) {
        let message = format!("is named part {no} of {of}, but its metadata says part {} of {count}; rename it", number + 1);
        return Err(FormatError::invalid(path, message));
    }
    let paths: Vec<PathBuf> = (1..=count)
        .map(|no| if no == number + 1 { path.to_path_buf() } else { path.with_file_name(format!("{prefix}-{no:05}-of-{of:05}.gguf")) })
        .collect();
    if let Some(missing) = paths.iter().find(|p| !p.exists()) {
        return Err(FormatError::invalid(
            path,
            format!("has {count} parts, and `{}` is missing; download it beside this one", missing.display()),
        ));
    }
    Ok(Some(paths))
}

/// Checks that the parts are those of one model.
pub(super) fn check(parts: &[(Part, Header)]) -> Result<(), FormatError> {
    for (i, (part, header)) in parts.iter().enumerate() {
        let (no, count) = (header.metadata.u64("split.no"), header.metadata.u64("split.count"));
        if (no, count) != (Some(i as u64), Some(parts.len() as u64)) {
            let message =
                format!("is opened as part {} of {}, but its metadata has split.no {no:?} and split.count {count:?}", i + 1, parts.len());
            return Err(FormatError::invalid(&part.path, message));
        }
    }
    let n_tensors: usize = parts.iter().map(|(_, header)| header.tensors.len()).sum();
    let (first, header) = &parts[0];
    match header.metadata.u64("split.tensors.count") {
        Some(expected) if expected != n_tensors as u64 => Err(FormatError::invalid(
            &first.path,
            format!("its {} parts have {n_tensors} tensors, split.tensors.count says {expected}", parts.len()),
        )),
        _ => Ok(()),
    }
}

/// Refuses a file that holds a second GGUF file behind its tensors, which end at `end`: its own directory names only the first part's tensors.
pub(super) fn refuse_joined(path: &Path, bytes: &[u8], end: usize) -> Result<(), FormatError> {
    let rest = bytes.get(end..).unwrap_or_default();
    // Between the two there may be bytes that align the next file.
    let padding = rest.iter().take_while(|&&b| b == 0).count();
    match rest[padding..].starts_with(&MAGIC) {
        true => Err(FormatError::invalid(
            path,
            format!(
                "holds another GGUF file from byte {} on: parts that were joined by `cat` are no model; name the first of the separate parts, \
                 or join these with `llama-gguf-split --merge`",
                end + padding
            ),
        )),
        false => Ok(()),
    }
}

/// Refuses a part of a split model where the others cannot be found.
pub(super) fn refuse_part(path: &Path, metadata: &Metadata) -> Result<(), FormatError> {
    match n_parts(path, metadata)? {
        Some(count) => Err(FormatError::invalid(path, format!("is one of {count} parts, which can only be opened as files"))),
        None => Ok(()),
    }
}

fn n_parts(path: &Path, metadata: &Metadata) -> Result<Option<u64>, FormatError> {
    match metadata.u64("split.count").unwrap_or(0) {
        0 | 1 => Ok(None),
        count @ 2..=MAX_PARTS => Ok(Some(count)),
        count => Err(FormatError::invalid(path, format!("split.count is {count}, at most {MAX_PARTS} parts are read"))),
    }
}

/// `model-00002-of-00003.gguf` as `("model", 2, 3)`.
fn part_name(path: &Path) -> Option<(&str, u64, u64)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let (rest, of) = stem.rsplit_once("-of-")?;
    let (prefix, no) = rest.rsplit_once('-')?;
    let digits = |s: &str| (s.len() == 5 && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse().ok()).flatten();
    Some((prefix, digits(no)?, digits(of)?))
}
