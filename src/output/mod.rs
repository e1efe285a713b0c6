//! Files that the program writes. Each is written beside its target and renamed when it is whole, so that a full disk or a crash never
//! leaves half a file, and never costs the one that was there.

mod kind;
#[cfg(test)]
mod tests;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

pub use kind::FileKind;

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The new file takes its place.
    Replace,
    /// It stays, and the write is refused; `unless` says what to type to replace it.
    Keep { unless: &'static str },
}

/// Where a file is to be written, checked before the work whose result it holds.
#[derive(Clone, Debug)]
pub struct Output {
    path: PathBuf,
    existing: Existing,
}

/// Why a file is not written. The file that was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("`{}` exists already: {unless}, or name another file", path.display())]
    Exists { path: PathBuf, unless: &'static str },
    #[error("`{}` is read by this command and would be replaced: name another file", path.display())]
    IsInput { path: PathBuf },
    #[error("`{}` ends like another kind of file, but {} would be written: name it `{}`", path.display(), kind.name, proper.display())]
    Ending { path: PathBuf, kind: FileKind, proper: PathBuf },
    #[error("cannot write `{}`: {why}", path.display())]
    Place { path: PathBuf, why: String },
    #[error("cannot write `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl OutputError {
    /// Whether another argument would mend it, rather than another disk.
    pub fn is_usage(&self) -> bool {
        matches!(self, OutputError::Exists { .. } | OutputError::IsInput { .. } | OutputError::Ending { .. })
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Output {
    /// An output that replaces what is there.
    fn from(path: &P) -> Output {
        Output { path: path.as_ref().to_path_buf(), existing: Existing::Replace }
    }
}

impl Output {
    /// A file that is to be written later.
    ///
    /// # Errors
    /// When its folder is absent, when it is a folder itself, and when a file is there that is to be kept.
    pub fn new(path: &Path, existing: Existing) -> Result<Output, OutputError> {
        let output = Output { path: path.to_path_buf(), existing };
        output.old()?;
        Ok(output)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a name that ends as files of another kind do. Unknown endings and none are taken as they are.
    ///
    /// # Errors
    /// When the ending is another kind's.
    pub fn of_kind(self, kind: FileKind) -> Result<Output, OutputError> {
        if kind.fits(&self.path) {
            return Ok(self);
        }
        let proper = self.path.with_extension(kind.endings[0]);
        Err(OutputError::Ending { path: self.path, kind, proper })
    }

    /// Refuses to replace `input`, whatever path leads to it, or a file within it where it is a folder.
    ///
    /// # Errors
    /// When the output is the input, or a file of it.
    pub fn apart_from(self, input: &Path) -> Result<Output, OutputError> {
        if is_file_of(&self.path, input) { Err(OutputError::IsInput { path: self.path }) } else { Ok(self) }
    }

    /// Writes what `fill` gives, all of it or nothing. Symbolic links are followed, and the mode of a file that is replaced is kept, as its
    /// owner is where the system allows that. A pipe or a device is no file to keep: it takes the bytes as they come.
    ///
    /// # Errors
    /// When the system refuses or the disk is full, and when a file that is to be kept has come to be there.
    pub fn write(&self, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        let (target, old) = self.old()?;
        let write = || match &old {
            Some(old) if !old.is_file() => filled(&OpenOptions::new().write(true).open(&target)?, fill),
            _ => self.replace(&target, old.as_ref(), fill),
        };
        write().map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => self.exists(),
            _ => OutputError::Io { path: self.path.clone(), source },
        })
    }

    /// As `write`.
    ///
    /// # Errors
    /// As `write`.
    pub fn write_bytes(&self, bytes: &[u8]) -> Result<(), OutputError> {
        self.write(|out| out.write_all(bytes))
    }

    /// The file behind all links, and what is there now.
    fn old(&self) -> Result<(PathBuf, Option<Metadata>), OutputError> {
        let io = |source| OutputError::Io { path: self.path.clone(), source };
        let place = |why: String| OutputError::Place { path: self.path.clone(), why };
        let target = followed(&self.path).map_err(io)?;
        let folder = folder_of(&target);
        if !folder.is_dir() {
            return Err(place(format!("there is no folder `{}`; make it first", folder.display())));
        }
        match fs::metadata(&target) {
            Ok(old) if old.is_dir() => Err(place("it is a folder; name a file in it".to_owned())),
            Ok(old) if old.is_file() && self.existing != Existing::Replace => Err(self.exists()),
            Ok(old) => Ok((target, Some(old))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((target, None)),
            Err(error) => Err(io(error)),
        }
    }

    fn exists(&self) -> OutputError {
        let unless = match self.existing {
            Existing::Keep { unless } => unless,
            Existing::Replace => "remove it",
        };
        OutputError::Exists { path: self.path.clone(), unless }
    }

    fn replace(&self, target: &Path, old: Option<&Metadata>, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        if old.is_some() {
            // A file that is protected against writing stays, although its folder would let it be replaced.
            OpenOptions::new().write(true).open(target)?;
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".tl-").suffix(".part");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        // It goes away when it is dropped before it has its name.
        let part = builder.tempfile_in(folder_of(target))?;
        filled(part.as_file(), fill)?;
        if let Some(old) = old {
            keep_owner_and_mode(part.as_file(), old)?;
        }
        part.as_file().sync_all()?;
        let renamed = match self.existing {
            Existing::Replace => part.persist(target),
            Existing::Keep { .. } => part.persist_noclobber(target),
        };
        renamed.map(|_| ()).map_err(|e| e.error)
    }
}

fn filled(file: &File, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    fill(&mut out)?;
    out.flush()
}

#[cfg(unix)]
fn keep_owner_and_mode(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // Only root may give files away; for all others the new file is their own.
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
    file.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn keep_owner_and_mode(file: &File, old: &Metadata) -> io::Result<()> {
    file.set_permissions(old.permissions())
}

/// The path behind symbolic links, whether or not there is a file at their end.
fn followed(path: &Path) -> io::Result<PathBuf> {
    const MOST: usize = 40;
    let mut at = path.to_path_buf();
    for _ in 0..MOST {
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_symlink() => at = folder_of(&at).join(fs::read_link(&at)?),
            _ => return Ok(at),
        }
    }
    Err(io::Error::other("its symbolic links lead in a circle"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether `path` is the file `input`, by whatever names and links, or an existing file somewhere in the folder `input`.
pub fn is_file_of(path: &Path, input: &Path) -> bool {
    let (Ok(path), Ok(input)) = (fs::canonicalize(path), fs::canonicalize(input)) else { return false };
    if path == input || same_inode(&path, &input) {
        return true;
    }
    input.is_dir() && path.is_file() && path.starts_with(&input)
}

#[cfg(unix)]
fn same_inode(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    place(a).is_some() && place(a) == place(b)
}

#[cfg(not(unix))]
fn same_inode(_: &Path, _: &Path) -> bool {
    false
}
