//! Where byte-level vocabularies cut a text before merging: the patterns behind the names in `tokenizer.ggml.pre`.
//!
//! The patterns are those of the models' published `tokenizer.json` files; the names and their grouping are those of the converter that writes
//! the key (llama.cpp).

use tokenizers::utils::SysRegex;

use super::TokenizerError;

pub struct PreTokenizer {
    /// Each cuts what the one before left; both its matches and what lies between them are pieces.
    patterns: Vec<SysRegex>,
    /// A piece that is a token stays whole, whatever the merges would make of it.
    pub whole_words_first: bool,
}

struct Family {
    names: &'static [&'static str],
    patterns: &'static [&'static str],
    whole_words_first: bool,
    adds_bos: bool,
}

const fn family(names: &'static [&'static str], patterns: &'static [&'static str]) -> Family {
    Family { names, patterns, whole_words_first: false, adds_bos: false }
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";

/// DeepSeek LLM's cased letters: an explicit list in its tokenizer, narrower than the Unicode property.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}\u{295}-\u{2AF}\u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1}\u{3A3}-\u{3F5}\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\u{13A0}-\u{13F5}\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}\u{1D6B}-\u{1D77}\u{1D79}-\u{1D9A}\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B}\u{1F5D}\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC}\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}\u{210A}-\u{2113}\u{2115}\u{2119}-\u{211D}\u{2124}\u{2126}\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4}\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}\u{A680}-\u{A69B}\u{A722}-\u{A76F}\u{A771}-\u{A787}\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}\u{10400}-\u{1044F}\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}]+";
const DEEPSEEK_CJK: &str = r"[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+";

const FAMILIES: &[Family] = &[
    family(&["default"], &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
    Family {
        whole_words_first: true,
        adds_bos: true,
        ..family(&["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"], &[LLAMA3])
    },
    family(&["dbrx", "smaug-bpe", "chatglm-bpe"], &[LLAMA3]),
    Family { whole_words_first: true, ..family(&["glm4", "glm5"], &[LLAMA3]) },
    family(&["qwen2", "stablelm2", "deepseek-r1-qwen", "megrez", "hunyuan", "kormo", "grok-2", "solar-open"], &[QWEN2]),
    family(
        &["qwen35"],
        &[r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    ),
    family(
        &[
            "gpt-2",
            "mpt",
            "olmo",
            "phi-2",
            "jais",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "exaone4",
            "trillion",
            "granite-docling",
            "modern-bert",
        ],
        &[GPT2],
    ),
    family(&["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"], &[r"\p{N}", GPT2]),
    family(
        &["deepseek-llm"],
        &[
            r"[\r\n]",
            DEEPSEEK_LETTERS,
            r"\s?[!-/:-~\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}\u{2018}-\u{201F}\u{3000}-\u{3002}]+",
            r"\s+$",
            DEEPSEEK_CJK,
            r"\p{N}+",
        ],
    ),
    family(&["deepseek-coder"], &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_CJK, r"\p{N}"]),
    family(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm"],
        &[r"\p{N}{1,3}", r"[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+", DEEPSEEK3],
    ),
    family(&["falcon"], &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"]),
    Family { whole_words_first: true, adds_bos: true, ..family(&["tekken"], &[TEKKEN]) },
    family(&["gpt-4o", "llama4", "kanana2", "minimax-m2"], &[GPT4O]),
    family(&["tiny_aya", "cohere2moe"], &[r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O]),
    family(&["poro-chat", "bloom", "gpt3-finnish"], &[BLOOM]),
    family(&["viking"], &[BLOOM, r"\p{N}"]),
    family(
        &["bailingmoe", "bailingmoe2", "llada-moe"],
        &[r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"],
    ),
    family(
        &["seed-coder"],
        &[r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"],
    ),
    family(
        &["exaone-moe"],
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        ],
    ),
    Family {
        adds_bos: true,
        ..family(
            &["chameleon"],
            &["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", r"([\t\n]|    |  )", r"\p{N}", r"[\p{P}!-/:-@\[-`{-~]", GPT2],
        )
    },
    family(&["superbpe"], &[r"\p{N}+", r"(?=(\d{3})+(?!\d))"]),
];

/// All names that a file may have.
pub fn names() -> Vec<&'static str> {
    FAMILIES.iter().flat_map(|family| family.names.iter().copied()).collect()
}

/// Whether models with this pre-tokenizer begin with BOS where the file does not say.
pub fn adds_bos(name: &str) -> bool {
    find(name).is_some_and(|family| family.adds_bos)
}

fn find(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.names.contains(&name))
}

impl PreTokenizer {
    /// `None` stands for a file without the key, which was made before there were names: `default`.
    pub fn named(name: Option<&str>) -> Result<PreTokenizer, TokenizerError> {
        let name = name.unwrap_or("default");
        let family = find(name).ok_or_else(|| TokenizerError::UnknownPreTokenizer { name: name.to_string(), known: names() })?;
        let compile = |pattern: &&str| SysRegex::new(pattern).map_err(|e| TokenizerError::Pattern(e.to_string()));
        let patterns = family.patterns.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(PreTokenizer { patterns, whole_words_first: family.whole_words_first })
    }

    /// Calls `piece` with each piece of `text`, in order. Together they are the text.
    pub fn split<'t>(&self, text: &'t str, piece: &mut impl FnMut(&'t str)) {
        let (last, earlier) = match self.patterns.split_last() {
            Some(patterns) => patterns,
            None => return piece(text),
        };
        let mut pieces = vec![text];
        for pattern in earlier {
            let mut finer = Vec::with_capacity(pieces.len());
            pieces.iter().for_each(|&coarse| split_by(pattern, coarse, &mut |fine| finer.push(fine)));
            pieces = finer;
        }
        pieces.iter().for_each(|&coarse| split_by(last, coarse, piece));
    }
}

/// Matches and what lies between. A match that runs out of its backtracking limit ends the search, and the rest is one piece.
fn split_by<'t>(pattern: &SysRegex, text: &'t str, piece: &mut impl FnMut(&'t str)) {
    let mut start = 0;
    for (from, to) in pattern.find_iter(text) {
        if from > start {
            piece(&text[start..from]);
        }
        if to > from {
            piece(&text[from..to]);
        }
        start = to.max(start);
    }
    if start < text.len() {
        piece(&text[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(name: &str, text: &str) -> Vec<String> {
        let mut pieces = Vec::new();
        PreTokenizer::named(Some(name)).expect(name).split(text, &mut |piece| pieces.push(piece.to_string()));
        pieces
    }

    #[test]
    fn every_name_compiles_and_loses_nothing() {
        let text = "It's 12345 tests,\n\n  e.g. Äpfel & 東京タワー 3.14!\t\u{1F999}x  \r\n<tag> don'T  ";
        for name in names() {
            assert_eq!(split(name, text).concat(), text, "{name}");
        }
    }

    #[test]
    fn families_cut_as_published() {
        assert_eq!(split("gpt-2", "I'll  go 1234"), ["I", "'ll", " ", " go", " 1234"]);
        assert_eq!(split("llama-bpe", "I'LL go 1234\n\n x"), ["I", "'LL", " go", " ", "123", "4", "\n\n", " x"]);
        assert_eq!(split("qwen2", "go 12"), ["go", " ", "1", "2"]);
        assert_eq!(split("smollm", "go 12x"), ["go", " ", "1", "2", "x"]);
        assert_eq!(split("default", "a1234"), ["a", "123", "4"]);
        assert_eq!(split("deepseek-coder", "let x\n"), ["let", " x", "\n"]);
        assert_eq!(split("deepseek-llm", "ab 東京 12"), ["ab", " ", "東京", " ", "12"]);
        assert_eq!(split("deepseek-v3", "foo.bar 1234"), ["foo", ".bar", " ", "123", "4"]);
        assert_eq!(split("tekken", "HelloWorld 12"), ["Hello", "World", " ", "1", "2"]);
        assert_eq!(split("gpt-4o", "HelloWorld's 1234"), ["Hello", "World's", " ", "123", "4"]);
        assert_eq!(split("superbpe", "a 1234567 b"), ["a ", "1", "234", "567", " b"]);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known() {
        let Err(error) = PreTokenizer::named(Some("martian")) else { panic!("`martian` is no pre-tokenizer") };
        let text = error.to_string();
        assert!(text.contains("`martian`") && text.contains("llama-bpe"), "{text}");
    }
}
