//! The programs in the documents, run as a reader who copies them would: each prints what stands below it.
//!
//! A block marked `tl` is a program. The blocks `output` and `error` that follow it at once hold all that it prints on standard output and all that
//! it reports; one without them says nothing. A block marked `tl NAME` is a file that later programs of the page may import.
//! `TL_BLESS=1` rewrites what the blocks hold, and the page of the library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::process::{command, ended, tl};
use crate::scratch::Scratch;

/// The documents that may hold programs.
pub fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<PathBuf> = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|e| e == "md"));
    pages.extend([root.join("README.md"), root.join("examples/README.md")]);
    pages.sort();
    pages
}

/// A stretch of a page: a fenced block with the word after its fence, or a line between blocks.
enum Part {
    Line(String),
    Block { word: String, text: String, line: usize },
}

fn parts(page: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut lines = page.lines().zip(1..);
    while let Some((text, line)) = lines.next() {
        let Some(word) = text.strip_prefix("```") else {
            parts.push(Part::Line(text.to_owned()));
            continue;
        };
        let inside = lines.by_ref().map(|(text, _)| text).take_while(|text| *text != "```");
        parts.push(Part::Block { word: word.to_owned(), text: inside.map(|text| format!("{text}\n")).collect(), line });
    }
    parts
}

/// The texts of a page's blocks that a word marks.
pub fn blocks(page: &str, marked: &str) -> Vec<String> {
    let text = |part| if let Part::Block { word, text, .. } = part { (word == marked).then_some(text) } else { None };
    parts(page).into_iter().filter_map(text).collect()
}

fn joined(parts: &[Part]) -> String {
    let text = |part: &Part| match part {
        Part::Line(text) => format!("{text}\n"),
        Part::Block { word, text, .. } => format!("```{word}\n{text}```\n"),
    };
    parts.iter().map(text).collect()
}

/// A program of a page: where its block is, and the files that stand beside it.
struct Program {
    at: usize,
    text: String,
    files: Vec<(String, String)>,
}

fn programs(parts: &[Part]) -> Vec<Program> {
    let (mut programs, mut files) = (Vec::new(), Vec::new());
    for (at, part) in parts.iter().enumerate() {
        let Part::Block { word, text, .. } = part else { continue };
        match word.split_once(' ') {
            Some(("tl", name)) => files.push((name.to_owned(), text.clone())),
            None if word == "tl" => programs.push(Program { at, text: text.clone(), files: files.clone() }),
            _ => {}
        }
    }
    programs
}

/// What a program prints and what it reports, run in a folder of its own.
fn found(program: &Program, page: &str) -> [String; 2] {
    let scratch = Scratch::new(&format!("{page}-{}", program.at));
    for (name, text) in &program.files {
        fs::write(scratch.path(name), text).unwrap();
    }
    fs::write(scratch.path("example.tl"), &program.text).unwrap();
    let run = ended(command(&["run", "example.tl"]).current_dir(scratch.path("")).stdin(Stdio::null()).output().unwrap());
    let reported: String = run.said().iter().map(|line| format!("{line}\n")).collect();
    let fails = reported.lines().any(|line| line.starts_with("error"));
    assert_eq!(run.code, Some(i32::from(fails)), "{page}: {run:?}");
    [run.stdout, reported]
}

/// What each program says, in the order of the programs.
fn found_by_all(programs: &[Program], page: &str) -> Vec<[String; 2]> {
    let next = AtomicUsize::new(0);
    let work = || {
        let take = || programs.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(take).map(|program| (program.at, found(program, page))).collect::<Vec<_>>()
    };
    let mut found: Vec<(usize, [String; 2])> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, found)| found).collect()
}

/// A page as it would be if its blocks held what its programs say, and what has no block.
fn corrected(text: &str, name: &str) -> (String, Vec<String>) {
    let mut parts = parts(text);
    let programs = programs(&parts);
    let mut missing = Vec::new();
    for (program, [output, error]) in programs.iter().zip(found_by_all(&programs, name)) {
        let mut said = vec![("output", output), ("error", error)];
        for part in &mut parts[program.at + 1..] {
            let Part::Block { word, text, .. } = part else { break };
            let Some(at) = said.iter().position(|(kind, _)| kind == word) else { break };
            *text = said.remove(at).1;
        }
        said.retain(|(_, text)| !text.is_empty());
        if let (Part::Block { line, .. }, false) = (&parts[program.at], said.is_empty()) {
            missing.push(format!("{name}:{line}: the program says what no block below it holds: {said:?}"));
        }
    }
    (joined(&parts), missing)
}

/// Holds a document against what it should be, or under `TL_BLESS` writes it. `None`: it is so.
fn difference(path: &Path, text: &str, corrected: &str, how: &str) -> Option<String> {
    if text == corrected {
        return None;
    }
    if std::env::var_os("TL_BLESS").is_some() {
        fs::write(path, corrected).unwrap();
        return None;
    }
    let line = text.lines().zip(corrected.lines()).position(|(a, b)| a != b).unwrap_or(text.lines().count().min(corrected.lines().count()));
    let from = |text: &str| text.lines().skip(line).take(8).map(|l| format!("    {l}\n")).collect::<String>();
    Some(format!("{}:{}: {how}\nis:\n{}should be:\n{}", path.display(), line + 1, from(text), from(corrected)))
}

#[test]
fn each_program_of_a_document_prints_what_stands_below_it() {
    let (mut wrong, mut n_programs) = (Vec::new(), 0);
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        n_programs += programs(&parts(&text)).len();
        let (corrected, missing) = corrected(&text, name);
        wrong.extend(missing);
        wrong.extend(difference(&path, &text, &corrected, "TL_BLESS=1 accepts what the programs say"));
    }
    assert!(n_programs > 40, "{n_programs} programs");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_page_of_the_library_is_what_tl_doc_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/library.md");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let written = tl(&["doc", "--markdown"]);
    let wrong = difference(&path, &text, written.answer(), "`tl doc --markdown > docs/library.md` writes it");
    assert_eq!(wrong, None);
}

/// Links between the documents lead to a file, and to a heading of it.
#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        let prose: String =
            parts(&text).iter().filter_map(|p| if let Part::Line(line) = p { Some(format!("{line}\n")) } else { None }).collect();
        for target in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|t| !t.contains("://")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let to = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let headings = || fs::read_to_string(&to).unwrap().lines().filter(|l| l.starts_with('#')).map(anchor).collect::<Vec<_>>();
            if !to.exists() || !(heading.is_empty() || headings().iter().any(|h| h == heading)) {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

/// What GitHub makes of a heading for links to it.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).map(|c| if c == ' ' { '-' } else { c }).collect()
}
