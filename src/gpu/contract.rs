//! The contract between Rust and WGSL, by name. A lowering names the members of `Step` that it sets, the buffers that it binds and the fragments
//! that it joins; the kernel's module says where the members lie and which binding each buffer has, and its text which functions it expects of
//! fragments. Names are looked up once, when a recording is made: a run knows offsets and bindings alone.

use naga::{AddressSpace, GlobalVariable, Module, TypeInner};

/// The binding of the run's words, `run`, which every recording fills itself.
pub const RUN: u32 = 0;
/// The binding of the step's numbers, `step`, which are laid out from what a lowering sets.
pub const STEP: u32 = 1;

/// What a lowering gives a kernel, by the names in its WGSL. `B` is what stands for a buffer.
#[derive(Clone, Debug)]
pub struct Arguments<B> {
    /// Words of the members of `Step`; those of one member are in order.
    words: Vec<(&'static str, u32)>,
    buffers: Vec<(&'static str, B)>,
}

impl<B> Default for Arguments<B> {
    fn default() -> Self {
        Arguments { words: Vec::new(), buffers: Vec::new() }
    }
}

impl<B> Arguments<B> {
    /// Sets a member of `Step`; of an array, its next word.
    pub fn set(mut self, member: &'static str, number: impl Word) -> Self {
        self.words.push((member, number.word()));
        self
    }

    /// Sets the next words of an array of `Step`.
    pub fn set_all(mut self, member: &'static str, numbers: impl IntoIterator<Item = impl Word>) -> Self {
        self.words.extend(numbers.into_iter().map(|number| (member, number.word())));
        self
    }

    pub fn bind(mut self, name: &'static str, buffer: impl Into<B>) -> Self {
        self.buffers.push((name, buffer.into()));
        self
    }

    /// Binds a buffer where there is one: kernels have a constant that rules out what reads it.
    pub fn bind_some(self, name: &'static str, buffer: Option<impl Into<B>>) -> Self {
        match buffer {
            Some(buffer) => self.bind(name, buffer),
            None => self,
        }
    }

    pub fn buffers(&self) -> impl Iterator<Item = &B> {
        self.buffers.iter().map(|(_, buffer)| buffer)
    }
}

/// A number as a word of `Step`.
pub trait Word {
    fn word(self) -> u32;
}

impl Word for u32 {
    fn word(self) -> u32 {
        self
    }
}

impl Word for usize {
    fn word(self) -> u32 {
        self as u32
    }
}

impl Word for isize {
    fn word(self) -> u32 {
        self as i32 as u32
    }
}

impl Word for bool {
    fn word(self) -> u32 {
        u32::from(self)
    }
}

/// What a kernel's module declares, also what its constants rule out.
pub struct Contract {
    members: Vec<Member>,
    /// Words of `Step`, its padding among them.
    step_words: usize,
    /// Two names of one binding are two views of one buffer.
    buffers: Vec<(String, u32)>,
}

/// A member of `Step`.
struct Member {
    name: String,
    /// Its first word, and how many it has.
    first: usize,
    len: usize,
}

impl Contract {
    /// Of a module from which nothing was taken yet.
    pub fn of(module: &Module) -> Self {
        let mut contract = Contract { members: Vec::new(), step_words: 0, buffers: Vec::new() };
        for (_, var) in module.global_variables.iter() {
            let Some(binding) = var.binding.as_ref().map(|b| b.binding) else { continue };
            if binding == STEP && var.space == AddressSpace::Uniform {
                contract.take_step(module, var.ty);
            } else if binding != RUN {
                contract.buffers.push((var.name.clone().unwrap_or_default(), binding));
            }
        }
        contract
    }

    fn take_step(&mut self, module: &Module, ty: naga::Handle<naga::Type>) {
        let TypeInner::Struct { members, span } = &module.types[ty].inner else { return };
        let words = |bytes: u32| bytes as usize / 4;
        self.step_words = words(*span);
        self.members = members
            .iter()
            .map(|member| Member {
                name: member.name.clone().unwrap_or_default(),
                first: words(member.offset),
                len: words(module.types[member.ty].inner.size(module.to_ctx())),
            })
            .collect();
    }

    /// The words of `Step` as the module lays them out.
    ///
    /// # Errors
    /// With the name of a member that `Step` lacks, that is not set, or that is set to more or fewer words than it has.
    pub fn step<B>(&self, arguments: &Arguments<B>) -> Result<Vec<u32>, String> {
        let mut step = vec![0; self.step_words];
        let mut n_set = vec![0; self.members.len()];
        for (name, word) in &arguments.words {
            let found = self.members.iter().position(|member| member.name == *name);
            let i = found.ok_or_else(|| format!("has no member `{name}` in its `Step`, which its lowering sets"))?;
            let member = &self.members[i];
            if n_set[i] < member.len {
                step[member.first + n_set[i]] = *word;
            }
            n_set[i] += 1;
        }
        match self.members.iter().zip(n_set).find(|(member, n)| *n != member.len) {
            Some((member, 0)) => Err(format!("has the member `{}` in its `Step`, which its lowering does not set", member.name)),
            Some((member, n)) => {
                Err(format!("has {} words in the member `{}` of its `Step`, its lowering sets {n}", member.len, member.name))
            }
            None => Ok(step),
        }
    }

    /// The buffers of the bindings that are `used` after what constants rule out was taken from the module, by binding.
    ///
    /// # Errors
    /// With the name of a buffer that the module does not declare, that is bound twice, or that is not bound.
    pub fn buffers<B: Copy>(&self, arguments: &Arguments<B>, used: impl Iterator<Item = u32>) -> Result<Vec<(u32, B)>, String> {
        let mut bound: Vec<(u32, B)> = Vec::new();
        for (name, buffer) in &arguments.buffers {
            let found = self.buffers.iter().find(|(declared, _)| declared == name);
            let (_, binding) = found.ok_or_else(|| format!("declares no buffer `{name}`, which its lowering binds"))?;
            if bound.iter().any(|(b, _)| b == binding) {
                return Err(format!("has one buffer at binding {binding}, where its lowering binds `{name}` as a second"));
            }
            bound.push((*binding, *buffer));
        }
        let of_used = |binding: u32| {
            let buffer = bound.iter().find(|(b, _)| *b == binding).map(|(_, buffer)| (binding, *buffer));
            buffer.ok_or_else(|| format!("uses the buffer `{}`, which its lowering does not bind", self.names_at(binding)))
        };
        used.filter(|binding| ![RUN, STEP].contains(binding)).map(of_used).collect()
    }

    fn names_at(&self, binding: u32) -> String {
        let names: Vec<&str> = self.buffers.iter().filter(|(_, b)| *b == binding).map(|(name, _)| name.as_str()).collect();
        names.join("`, `")
    }

    /// Whether the module declares a buffer of this name at this binding.
    pub fn declares(&self, name: &str, binding: u32) -> bool {
        self.buffers.iter().any(|(declared, b)| declared == name && *b == binding)
    }
}

/// Makes the step's numbers immediates where `most` bytes hold them: they arrive with the dispatch, and nothing waits for memory to learn where
/// its data lies. Says whether it did.
pub fn take_step_as_immediate(module: &mut Module, most: u32) -> bool {
    let is_step = |var: &GlobalVariable| var.space == AddressSpace::Uniform && var.binding.as_ref().is_some_and(|b| b.binding == STEP);
    let found = module.global_variables.iter().find(|(_, var)| is_step(var)).map(|(handle, var)| (handle, var.ty));
    let fits = found.filter(|(_, ty)| module.types[*ty].inner.size(module.to_ctx()) <= most);
    let Some((handle, _)) = fits else { return false };
    let var = module.global_variables.get_mut(handle);
    var.space = AddressSpace::Immediate;
    var.binding = None;
    true
}

/// The functions that a file names in its lines `//! Expects: a, b`. The file calls them, and other files of the kernel define them. Functions of
/// `prelude/run` are not named, since every kernel has that file.
pub fn expected(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("//! Expects: ")).flat_map(|names| names.split(", "))
}

/// The functions that a file defines.
pub fn defined(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| Some(line.trim_start().strip_prefix("fn ")?.split_once('(')?.0))
}

#[cfg(test)]
mod tests {
    use super::super::pipelines::bindings_of;
    use super::super::prune::prune;
    use super::*;

    /// Padding before and after the array, a view of a buffer by another name, and a buffer that a constant rules out.
    const TEXT: &str = "
        const HAS_BIAS: bool = false;
        struct Step { rows: u32, scale: f32, dims: array<vec4<i32>, 2>, last: u32, }
        @group(0) @binding(0) var<uniform> run: array<vec4<u32>, 2>;
        @group(0) @binding(1) var<uniform> step: Step;
        @group(0) @binding(2) var<storage, read> x: array<u32>;
        @group(0) @binding(2) var<storage, read> x_pairs: array<vec2<u32>>;
        @group(0) @binding(4) var<storage, read> bias: array<u32>;
        @group(0) @binding(3) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(1) fn main() {
            out[0] = x_pairs[step.rows].x + run[0].x;
            if HAS_BIAS { out[0] = bias[0] + x[0]; }
        }";

    /// The step and the buffers that are used, where the contract holds.
    fn resolve(arguments: &Arguments<char>) -> Result<(Vec<u32>, Vec<(u32, char)>), String> {
        let mut module = naga::front::wgsl::parse_str(TEXT).unwrap();
        let contract = Contract::of(&module);
        prune(&mut module);
        let used = bindings_of(&module).into_iter().map(|b| b.0);
        Ok((contract.step(arguments)?, contract.buffers(arguments, used)?))
    }

    fn step() -> Arguments<char> {
        Arguments::default()
            .set("last", true)
            .set("scale", 1.5f32.to_bits())
            .set_all("dims", [1isize, -2, 3, 4, 5, 6, 7, 8])
            .set("rows", 9usize)
    }

    #[test]
    fn members_lie_where_the_module_puts_them_and_buffers_at_its_bindings() {
        let (words, buffers) = resolve(&step().bind("out", 'o').bind("x", 'x')).unwrap();
        assert_eq!(words, [9, 1.5f32.to_bits(), 0, 0, 1, -2i32 as u32, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0]);
        assert_eq!(buffers, [(2, 'x'), (3, 'o')], "x under its other name, no bias");
        let (_, with_bias) = resolve(&step().bind("bias", 'b').bind("out", 'o').bind("x", 'x')).unwrap();
        assert_eq!(with_bias, buffers, "what is ruled out may be given");
    }

    #[test]
    fn what_is_missing_or_surplus_is_named() {
        let buffers = |step: Arguments<char>| step.bind("out", 'o').bind("x", 'x');
        let without = |member: &str| {
            let mut arguments = buffers(step());
            arguments.words.retain(|(name, _)| *name != member);
            arguments
        };
        for (arguments, expected) in [
            (without("rows"), "has the member `rows` in its `Step`, which its lowering does not set"),
            (without("dims"), "has the member `dims` in its `Step`, which its lowering does not set"),
            (without("dims").set_all("dims", [1u32; 7]), "has 8 words in the member `dims` of its `Step`, its lowering sets 7"),
            (buffers(step().set("rows", 1u32)), "has 1 words in the member `rows` of its `Step`, its lowering sets 2"),
            (buffers(step().set("eps", 1u32)), "has no member `eps` in its `Step`, which its lowering sets"),
            (step().bind("out", 'o'), "uses the buffer `x`, `x_pairs`, which its lowering does not bind"),
            (buffers(step()).bind("y", 'y'), "declares no buffer `y`, which its lowering binds"),
            (buffers(step()).bind("run", 'r'), "declares no buffer `run`, which its lowering binds"),
            (buffers(step()).bind("x_pairs", 'y'), "has one buffer at binding 2, where its lowering binds `x_pairs` as a second"),
        ] {
            assert_eq!(resolve(&arguments).unwrap_err(), expected);
        }
    }

    #[test]
    fn functions_are_read_from_a_text() {
        let text = "//! Adds.\n//! Expects: a, b\n//! Expects: c\nfn first(x: u32) -> u32 {\n    return a(b(c(x)));\n}\n";
        assert_eq!(expected(text).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(defined(text).collect::<Vec<_>>(), ["first"]);
    }
}
