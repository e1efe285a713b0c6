//! Files that are no models: their first bytes say which kind of file each is, and the message what to do.

/// So many bytes of a file tell what it is.
pub const START: usize = 1024;

/// Beginnings of binary files, with what such a file is.
const MAGICS: [(&[u8], &str); 10] = [
    (b"PK\x03\x04", "is a ZIP archive, as PyTorch's weights are; download the model as safetensors or GGUF, or unpack it"),
    (b"\x80\x02", PICKLE),
    (b"\x80\x04", PICKLE),
    (b"\x1f\x8b", COMPRESSED),
    (b"\x28\xb5\x2f\xfd", COMPRESSED),
    (b"BZh", COMPRESSED),
    (b"\xfd7zXZ", COMPRESSED),
    (b"lmgg", OLDER),
    (b"fmgg", OLDER),
    (b"tjgg", OLDER),
];
const PICKLE: &str = "is a file of PyTorch's, which is not read; download the model as safetensors or GGUF";
const COMPRESSED: &str = "is a compressed archive; unpack it and name the model in it";
const OLDER: &str = "is in a format that is older than GGUF; convert the model again with a current llama.cpp";

/// What a file with these first bytes is, as the end of a sentence that begins with its path; `None` for what may be a model's file.
pub fn foreign(start: &[u8]) -> Option<String> {
    // The first bytes of a safetensors file are a length, which may be any.
    if start.get(8) == Some(&b'{') {
        return None;
    }
    if let Some((_, what)) = MAGICS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some((*what).to_owned());
    }
    let text = String::from_utf8_lossy(&start[..start.len().min(START)]);
    if text.starts_with("version https://git-lfs") {
        let size = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse::<u64>().ok());
        let of = size.map_or_else(String::new, |bytes| format!(" to a file of {bytes} bytes"));
        return Some(format!("is a Git LFS pointer{of}, not the file itself; run `git lfs pull` in its folder, or download the file"));
    }
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let begins = |tag: &str| text.get(..tag.len()).is_some_and(|t| t.eq_ignore_ascii_case(tag));
    if ["<!doctype html", "<html", "<head", "<?xml"].into_iter().any(begins) {
        let text =
            "is a web page, not a file of a model: the link was that of a page, or the download needs a login; download the file itself";
        return Some(text.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_model_is_left_alone() {
        let safetensors = |len: u64| [&len.to_le_bytes()[..], b"{\"a\":1}        "].concat();
        for start in [&b"GGUF\x03\0\0\0"[..], &safetensors(16), &safetensors(0x280), b"", b"{\"model_type\": \"llama\"}", b"<s>"] {
            assert_eq!(foreign(start), None, "{}", String::from_utf8_lossy(start));
        }
    }

    #[test]
    fn what_is_no_model_is_named() {
        for (start, word) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4661211808\n"[..], "pointer to a file of 4661211808 bytes"),
            (b"\n <!DOCTYPE html><html>", "web page"),
            (b"<HTML><BODY>", "web page"),
            (b"PK\x03\x04rest", "ZIP"),
            (b"tjgg\x03", "older than GGUF"),
        ] {
            assert!(foreign(start).is_some_and(|what| what.contains(word)), "{word}");
        }
    }
}
