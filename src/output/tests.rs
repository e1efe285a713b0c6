//! What is left on the disk, whatever happens while a file is written.

use std::io::{Error, ErrorKind};
use std::path::PathBuf;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

const KEEP: Existing = Existing::Keep { unless: "add --force" };

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_write_that_fails_leaves_what_was_there_and_nothing_else() {
    let folder = Folder::new();
    let old = folder.file("old", "before");
    for path in [old.clone(), folder.path("new")] {
        let failed = Output::from(&path).write(|out| {
            out.write_all(&vec![b'x'; 3 << 20])?;
            Err(Error::from(ErrorKind::StorageFull))
        });
        assert!(matches!(failed, Err(OutputError::Io { .. })), "{failed:?}");
    }
    assert_eq!((text(&old).as_str(), folder.names()), ("before", vec!["old".to_owned()]));
}

#[test]
fn a_file_is_replaced_only_where_that_was_asked() {
    let folder = Folder::new();
    let old = folder.file("old", "before");
    let refused = Output::new(&old, KEEP).unwrap_err().to_string();
    assert!(refused.contains("old` exists already: add --force"), "{refused}");
    // It came to be there after the check.
    let output = Output::new(&folder.path("later"), KEEP).unwrap();
    let later = folder.file("later", "theirs");
    assert!(matches!(output.write_bytes(b"ours"), Err(OutputError::Exists { .. })));
    Output::new(&old, Existing::Replace).unwrap().write_bytes(b"after").unwrap();
    assert_eq!((text(&old), text(&later)), ("after".to_owned(), "theirs".to_owned()));
    assert_eq!(folder.names(), ["later", "old"]);
}

#[test]
fn places_that_hold_no_file_are_refused_before_the_work() {
    let folder = Folder::new();
    for (path, words) in [(folder.path("no/such"), "there is no folder"), (folder.0.path().to_path_buf(), "it is a folder")] {
        let refused = Output::new(&path, KEEP).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    assert!(Output::new(Path::new("bare-name-that-is-no-file"), KEEP).is_ok());
}

#[cfg(unix)]
#[test]
fn links_and_modes_are_kept_and_protected_files_stay() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let folder = Folder::new();
    let file = folder.file("file", "before");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o750)).unwrap();
    let (link, dangling) = (folder.path("link"), folder.path("dangling"));
    symlink("file", &link).unwrap();
    symlink("made", &dangling).unwrap();
    for path in [&link, &dangling] {
        Output::from(path).write_bytes(b"after").unwrap();
        assert!(fs::symlink_metadata(path).unwrap().is_symlink());
    }
    assert_eq!((text(&file), text(&folder.path("made"))), ("after".to_owned(), "after".to_owned()));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o750);
    // A new file has the mode that any other new file has.
    assert_eq!(fs::metadata(folder.path("made")).unwrap().mode(), fs::metadata(folder.file("plain", "")).unwrap().mode());
    symlink("b", folder.path("a")).unwrap();
    symlink("a", folder.path("b")).unwrap();
    assert!(Output::from(&folder.path("a")).write_bytes(b"").unwrap_err().to_string().contains("circle"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    assert!(is_root || Output::from(&file).write_bytes(b"never").is_err());
}

#[cfg(unix)]
#[test]
fn a_device_takes_the_bytes_as_they_come() {
    Output::new(Path::new("/dev/null"), KEEP).unwrap().write_bytes(b"gone").unwrap();
    assert!(Output::from("/dev/full").write_bytes(b"x").is_err());
}

#[test]
fn an_output_is_never_an_input() {
    let folder = Folder::new();
    let model = folder.file("model.gguf", "weights");
    fs::hard_link(&model, folder.path("other")).unwrap();
    for path in [model.clone(), folder.path("other"), folder.0.path().join("./model.gguf")] {
        let refused = Output::from(&path).apart_from(&model).unwrap_err();
        assert!(matches!(refused, OutputError::IsInput { .. }) && refused.is_usage());
    }
    // A file of the folder that is read, but not a new one beside it.
    assert!(Output::from(&model).apart_from(folder.0.path()).is_err());
    assert!(Output::from(&folder.path("new")).apart_from(folder.0.path()).is_ok());
    assert!(Output::from(&folder.path("new")).apart_from(&model).is_ok());
}

#[test]
fn an_ending_that_lies_is_refused_by_name() {
    let said = |name: &str, kind: FileKind| Output::from(name).of_kind(kind).map_err(|e| e.to_string());
    let refused = said("plot.PNG", FileKind::SVG).unwrap_err();
    assert!(refused.contains("`plot.PNG`") && refused.contains("SVG would be written: name it `plot.svg`"), "{refused}");
    assert!(said("x.gguf", FileKind::SAFETENSORS).is_err() && said("x.safetensors", FileKind::GGUF).is_err());
    for (name, kind) in [("x", FileKind::SVG), ("x.st", FileKind::SAFETENSORS), ("x.Svg", FileKind::SVG), ("v1.2", FileKind::JSON)] {
        assert!(said(name, kind).is_ok(), "{name}");
    }
}
