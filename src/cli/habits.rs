//! Words of other programs: flags of llama.cpp that have another spelling here or nothing to do, and commands that are not there.

use std::ffi::OsString;

/// Flags of one dash and several letters, which clap would take apart, as they are spelled here.
const SPELLED: &[(&str, &str)] = &[("-ngl", "--n-gpu-layers"), ("-sys", "--system"), ("-ctk", "--kv")];

/// Flags that ask for what happens anyway, and how many words follow them.
const NEEDLESS: &[(&str, Value)] = &[
    ("-cnv", Value::None),
    ("--conversation", Value::None),
    ("-i", Value::None),
    ("--interactive", Value::None),
    ("--color", Value::Switch),
    ("--jinja", Value::None),
    ("--no-warmup", Value::None),
    ("--no-display-prompt", Value::None),
    ("--simple-io", Value::None),
    ("-fa", Value::Switch),
    ("--flash-attn", Value::Switch),
    ("-b", Value::One),
    ("--batch-size", Value::One),
    ("-ub", Value::One),
    ("--ubatch-size", Value::One),
    ("-tb", Value::One),
    ("--threads-batch", Value::One),
];

/// What follows a flag.
#[derive(Clone, Copy, PartialEq)]
enum Value {
    None,
    One,
    /// `on`, `off`, `auto`, `0` or `1`, or nothing.
    Switch,
}

/// Commands of other programs, and what to type.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["pull", "download", "get"], "there is no `tl PULL`: download a GGUF file, as with `curl -L -O URL`, and type `tl chat FILE`"),
    (&["list", "ls", "ps"], "tl keeps no list of models: a model is the path of a file, and `tl inspect FILE` shows what it is"),
    (
        &["rm", "delete", "cp", "push", "create", "stop"],
        "tl keeps no models of its own: a model is the path of a file; type `tl chat FILE`",
    ),
    (&["serve", "server", "start"], "there is no server: type `tl chat FILE`, or embed the library"),
    (&["version"], "type `tl --version`"),
    (&["cli", "talk", "ask", "interactive"], "type `tl chat FILE`"),
    (&["complete", "completion"], "type `tl generate FILE -p TEXT`, or `tl completions SHELL` for a shell's completions"),
    (&["quantize", "convert"], "tl runs GGUF files and Hugging Face folders as they are: type `tl chat FILE`"),
    (&["perplexity", "ppl"], "there is no perplexity: `tl trace FILE -p TEXT --reference exact` compares logits"),
    (&["train", "finetune", "learn"], "tl runs models and does not train them"),
    (&["language-server"], "type `tl lsp`"),
    (&["eval", "exec"], "type `tl run FILE.tl`, or `tl repl`"),
    (&["check", "lint"], "type `tl test FILE.tl`, or `tl fmt --check FILE.tl`"),
];

/// The arguments in our spelling, and the flags among them that have nothing to do here. What follows `tl run` is a program's.
pub fn translated(args: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Vec<&'static str>) {
    let (mut out, mut needless) = (Vec::new(), Vec::new());
    let mut args = args.into_iter().peekable();
    out.extend(args.next());
    let is_ours = args.peek().is_some_and(|command| ["chat", "generate", "bench"].iter().any(|name| command == name));
    while let Some(arg) = args.next() {
        if arg == "--" {
            out.push(arg);
            out.extend(args.by_ref());
        } else if let Some((_, spelled)) = SPELLED.iter().find(|(theirs, _)| arg == *theirs) {
            out.push(spelled.into());
        } else if let Some((name, value)) = NEEDLESS.iter().find(|(name, _)| is_ours && arg == *name) {
            needless.push(*name);
            let is_switch = |word: &OsString| ["on", "off", "auto", "0", "1"].iter().any(|switch| word == switch);
            if *value == Value::One || *value == Value::Switch && args.peek().is_some_and(is_switch) {
                args.next();
            }
        } else {
            out.push(arg);
        }
    }
    (out, needless)
}

/// What to type in place of a command that another program has.
pub fn other_command(name: &str) -> Option<String> {
    let (_, says) = COMMANDS.iter().find(|(names, _)| names.contains(&name))?;
    Some(says.replace("PULL", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> (String, Vec<&'static str>) {
        let (args, needless) = translated(line.split(' ').map(OsString::from));
        (args.iter().map(|arg| arg.to_str().unwrap_or_default()).collect::<Vec<_>>().join(" "), needless)
    }

    #[test]
    fn flags_are_spelled_as_here_and_needless_ones_are_left_out() {
        assert_eq!(of("tl chat -ngl 99 -sys S m.gguf"), ("tl chat --n-gpu-layers 99 --system S m.gguf".to_owned(), vec![]));
        assert_eq!(of("tl chat -fa on -cnv -b 512 m.gguf"), ("tl chat m.gguf".to_owned(), vec!["-fa", "-cnv", "-b"]));
        assert_eq!(of("tl chat -fa m.gguf"), ("tl chat m.gguf".to_owned(), vec!["-fa"]));
        assert_eq!(of("tl run a.tl -i"), ("tl run a.tl -i".to_owned(), vec![]));
        assert_eq!(of("tl chat m.gguf -- -i"), ("tl chat m.gguf -- -i".to_owned(), vec![]));
    }

    #[test]
    fn commands_of_others_say_what_to_type() {
        assert!(other_command("download").is_some_and(|says| says.contains("`tl download`") && says.contains("tl chat")));
        assert_eq!(other_command("abacus"), None);
    }
}
