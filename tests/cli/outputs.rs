//! The files that commands write: whole or not at all, never over another one unasked, and never under a name that lies.

use std::path::Path;

use crate::models::Parts;
use crate::process::{Run, command, ended, tiny, tl};
use crate::scratch::{Scratch, assert_contains};

fn names(folder: &Scratch) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The command where no file may grow past some 8 KB: what a full disk is to it.
#[cfg(unix)]
fn on_a_full_disk(args: &[&str]) -> Run {
    let inner = command(args);
    let mut outer = std::process::Command::new("sh");
    outer.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    outer.env("TL_BACKEND", "cpu").env("TL_CACHE", "").env_remove("TL_REQUIRE_GPU");
    ended(outer.output().unwrap())
}

#[cfg(unix)]
#[test]
fn a_full_disk_costs_no_file_and_leaves_no_part_of_one() {
    let scratch = Scratch::new("full-disk");
    let program = scratch.path("p.tl");
    let source = "let  x=1\n".repeat(4000);
    std::fs::write(&program, &source).unwrap();
    let (model, values, default) = (tiny("f32"), text(&scratch.path("v.safetensors")), text(&scratch.path("m.gguf")));
    let program_that_writes = text(&scratch.path("w.tl"));
    std::fs::write(scratch.path("old.txt"), "before").unwrap();
    let old = text(&scratch.path("old.txt"));
    std::fs::write(&program_that_writes, format!("write_text({old:?}, \"x\" * 100000)")).unwrap();
    let cases: [&[&str]; 4] = [
        &["fmt", program.to_str().unwrap()],
        &["trace", &model, "--tokens", "1,2,3,4", "--out", &values],
        &["chat", "--save-default", &default],
        &["run", &program_that_writes],
    ];
    for args in cases {
        let run = on_a_full_disk(args);
        assert_eq!(run.code, Some(1), "{args:?}: {run:?}");
        assert_contains(&run.stderr, &["cannot write", "too large"]);
    }
    assert_eq!(std::fs::read_to_string(&program).unwrap(), source, "the program is as it was");
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "before");
    assert_eq!(names(&scratch), ["old.txt", "p.tl", "w.tl"]);
}

#[cfg(unix)]
#[test]
fn formatting_keeps_links_and_modes() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let scratch = Scratch::new("fmt-link");
    let (program, link) = (scratch.path("p.tl"), scratch.path("link.tl"));
    std::fs::write(&program, "let  x=1\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o750)).unwrap();
    symlink("p.tl", &link).unwrap();
    assert_eq!(tl(&["fmt", link.to_str().unwrap()]).code, Some(0));
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&program).unwrap(), "let x = 1\n");
    assert_eq!(std::fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o750);
}

#[test]
fn no_file_is_replaced_without_force() {
    let scratch = Scratch::new("no-force");
    let (model, old) = (tiny("f32"), |name: &str| {
        std::fs::write(scratch.path(name), "before").unwrap();
        text(&scratch.path(name))
    });
    let (values, default, plot) = (old("v.safetensors"), old("m.gguf"), old("p.svg"));
    let context = old("q.context.svg");
    let beside = text(&scratch.path("q.svg"));
    let bench = ["bench", &model, "-p", "4", "-n", "2", "-r", "1"];
    let cases: [(&[&str], &str); 4] = [
        (&["trace", &model, "--tokens", "1,2", "--out", &values], &values),
        (&["chat", "--save-default", &default], &default),
        (&[&bench[..], &["--plot", &plot]].concat(), &plot),
        // The second file of a plot counts as the first does.
        (&[&bench[..], &["--plot", &beside]].concat(), &context),
    ];
    for (args, path) in cases {
        assert_contains(tl(args).refusal(2), &[path, "exists already", "--force"]);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "before");
        let forced = tl(&[args, &["--force"]].concat());
        assert_eq!(forced.code, Some(0), "{forced:?}");
        let plots = args[0] == "bench";
        assert!(plots || std::fs::read(path).unwrap() != b"before", "{args:?}");
    }
    assert_eq!(std::fs::read(&default).unwrap(), tensorlogic::engine::demo::bytes().unwrap());
}

#[test]
fn an_output_is_never_what_is_read() {
    let scratch = Scratch::new("input");
    let (model, bytes) = (scratch.path("m.st"), Parts::tiny().bytes());
    std::fs::write(&model, &bytes).unwrap();
    std::fs::hard_link(&model, scratch.path("same.st")).unwrap();
    let (model, same) = (text(&model), text(&scratch.path("same.st")));
    for out in [&model, &same] {
        let run = tl(&["trace", &model, "--tokens", "1,2", "--out", out, "--force"]);
        assert_contains(run.refusal(2), &[out, "is read by this command", "name another file"]);
    }
    let values = text(&scratch.path("v.safetensors"));
    assert_eq!(tl(&["trace", &model, "--tokens", "1,2", "--out", &values]).code, Some(0));
    let run = tl(&["trace", &model, "--tokens", "1,2", "--reference", &values, "--out", &values, "--force"]);
    assert_contains(run.refusal(2), &["is read by this command"]);
    // A program may replace what it wrote before, and no model that it has loaded.
    let program = text(&scratch.path("p.tl"));
    for write in ["write_text(path, \"x\")", "save(path, [(\"w\", zeros([2]))])"] {
        std::fs::write(&program, format!("let m = load_model({model:?})\nlet path = args()[0]\n{write}\n{write}")).unwrap();
        for out in [&model, &same] {
            let run = tl(&["run", &program, out]);
            assert_eq!(run.code, Some(1), "{run:?}");
            assert_contains(&run.stderr, &["is read by this command"]);
        }
        let run = tl(&["run", &program, &text(&scratch.path("new.st"))]);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    assert!(std::fs::read(&model).unwrap() == bytes, "the model is as it was");
}

#[test]
fn an_ending_that_lies_is_refused() {
    let scratch = Scratch::new("ending");
    let (model, path) = (tiny("f32"), |name: &str| text(&scratch.path(name)));
    let (gguf, png, tensors) = (path("x.gguf"), path("x.png"), path("x.safetensors"));
    let cases: [(&[&str], &str, &str); 3] = [
        (&["trace", &model, "--tokens", "1,2", "--out", &gguf], "safetensors would be written", "x.safetensors`"),
        (&["bench", &model, "-p", "4", "-n", "2", "-r", "1", "--plot", &png], "SVG would be written", "x.svg`"),
        (&["chat", "--save-default", &tensors], "GGUF would be written", "x.gguf`"),
    ];
    for (args, kind, name) in cases {
        assert_contains(tl(args).refusal(2), &[kind, name]);
    }
    let program = path("p.tl");
    std::fs::write(&program, format!("save({gguf:?}, [(\"w\", zeros([2]))])")).unwrap();
    let run = tl(&["run", &program]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_contains(&run.stderr, &["safetensors would be written"]);
    assert_eq!(names(&scratch), ["p.tl"]);
}
