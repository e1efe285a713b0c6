//! Four words of memory as they are read at once.

alias Words = vec4<u32>;

fn words(v: Words) -> vec4<u32> {
    return v;
}

fn of_words(v: vec4<u32>) -> Words {
    return v;
}
