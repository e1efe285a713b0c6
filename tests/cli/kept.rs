//! What one run keeps for the next: kernel shapes and compiled pipelines. They change speed, never an answer, and a damaged file costs nothing.

use std::path::PathBuf;

use crate::process::{Run, backends, command, ended, tiny};
use crate::scratch::Scratch;

fn keeping(cache: &Scratch, args: &[&str]) -> Run {
    ended(command(args).env("TL_CACHE", cache.path("")).output().unwrap())
}

fn files(cache: &Scratch) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(cache.path("")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn tuned_shapes_and_damaged_files_leave_answers_as_they_are() {
    for backend in backends().into_iter().filter(|&b| b != "cpu") {
        let cache = Scratch::new("kept");
        let model = tiny("q4_0");
        let generate =
            ["generate", &model, "--backend", backend, "--tokens", "1,2,3,4", "--temperature", "0", "--max-tokens", "12", "--json"];
        let ids = || {
            let run = keeping(&cache, &generate);
            let answer: serde_json::Value = serde_json::from_str(run.answer()).unwrap();
            answer["ids"].clone()
        };
        let before = ids();
        let tuned = keeping(&cache, &["bench", &model, "--backend", backend, "-p", "0", "-n", "2", "-r", "1", "--tune"]);
        assert_eq!(tuned.code, Some(0), "{tuned:?}");
        assert!(tuned.stderr.contains("q4_0 ") && tuned.stderr.contains("kept in "), "{}", tuned.stderr);
        let shapes = files(&cache).into_iter().find(|path| path.to_string_lossy().ends_with(".tuning.json")).expect("a file of shapes");
        let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&shapes).unwrap()).unwrap();
        assert!(kept.is_object(), "{kept}");
        assert_eq!(ids(), before, "tuned");
        for path in files(&cache) {
            std::fs::write(path, b"\0not what was written").unwrap();
        }
        assert_eq!(ids(), before, "with damaged files");
        // A shape that no device can run is passed over.
        let wrong = r#"{"int8": true, "workgroup": 3, "lanes": 0, "rows": 9, "cols": 1, "passes": 0}"#;
        let all: Vec<String> = kept.as_object().unwrap().keys().map(|work| format!("{work:?}: {wrong}")).collect();
        std::fs::write(&shapes, format!("{{{}}}", all.join(","))).unwrap();
        assert_eq!(ids(), before, "with shapes that do not fit");
    }
}

#[test]
fn the_cpu_says_that_it_has_nothing_to_tune() {
    let run = crate::process::tl(&["bench", &tiny("q4_0"), "-p", "0", "-n", "2", "-r", "1", "--tune"]);
    assert_eq!((run.code, run.said()), (Some(0), vec!["note: this backend has no shapes to choose or cannot time them"]), "{run:?}");
}
