//! Sets of system calls, as `-e trace=` writes them.

use tipstaff_abi::{Arch, SyscallSet, Sysno, nearest};

/// A set of calls of every architecture that the kernel may run.
#[derive(Clone, Debug)]
pub struct Calls {
    /// One for each of [`archs`].
    sets: Vec<SyscallSet>,
    /// All calls but those in the sets: numbers that no table knows are wanted then too.
    inverted: bool,
}

/// The architectures whose calls the running kernel may be asked for, the native one first.
pub fn archs() -> &'static [Arch] {
    Arch::native().map_or(&[], Arch::with_compat)
}

impl Calls {
    /// Every call.
    pub fn all() -> Self {
        Self { inverted: true, ..Self::none() }
    }

    /// No call.
    pub fn none() -> Self {
        Self { sets: archs().iter().map(|&arch| SyscallSet::new(arch)).collect(), inverted: false }
    }

    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        self.inverted && self.sets.iter().all(SyscallSet::is_empty)
    }

    /// Whether there is nothing in it.
    pub fn is_none(&self) -> bool {
        !self.inverted && self.sets.iter().all(SyscallSet::is_empty)
    }

    /// Whether it contains the calls that were not named.
    pub fn contains_unlisted(&self) -> bool {
        self.inverted
    }

    /// Whether a call is in it.
    pub fn contains(&self, arch: Arch, number: u32) -> bool {
        let listed = self.sets.iter().any(|set| set.arch() == arch && set.contains(Sysno(number)));
        listed != self.inverted
    }

    /// What is in either.
    pub fn union(&self, other: &Self) -> Self {
        let pairs = self.sets.iter().zip(&other.sets);
        let (sets, inverted) = match (self.inverted, other.inverted) {
            (false, false) => (pairs.map(|(a, b)| a.union(b)).collect(), false),
            (true, true) => (pairs.map(|(a, b)| a.intersection(b)).collect(), true),
            (true, false) => (pairs.map(|(a, b)| a.difference(b)).collect(), true),
            (false, true) => (pairs.map(|(a, b)| b.difference(a)).collect(), true),
        };
        Self { sets, inverted }
    }

    /// From `[!]WORD[,WORD]…`, each a name, a number, `%class`, `all` or `none`; `?` in front: no error where it is unknown, `@64`, `@32`
    /// or `@x32` behind: of that architecture alone. `option` is what errors begin with. With what is worth a note.
    pub fn parse(option: &str, text: &str) -> Result<(Self, Vec<String>), String> {
        let (inverted, list) = match text.strip_prefix('!') {
            Some(list) => (true, list),
            None => (false, text),
        };
        let mut calls = Self::none();
        let mut notes = Vec::new();
        for word in list.split(',') {
            let word = word.trim();
            if word.is_empty() {
                return Err(format!("{option}{text}: an empty name; write names or %classes with commas between them"));
            }
            let added = calls.add(word).map_err(|e| format!("{option}{text}: {e}"))?;
            notes.extend(added.map(|note| format!("{option}{text}: {note}")));
        }
        calls.inverted ^= inverted;
        Ok((calls, notes))
    }

    fn add(&mut self, word: &str) -> Result<Option<String>, String> {
        let (optional, word) = match word.strip_prefix('?') {
            Some(word) => (true, word),
            None => (false, word),
        };
        let (word, only) = match word.split_once('@') {
            Some((word, suffix)) => (word, Some(personality(suffix)?)),
            None => (word, None),
        };
        match word {
            "all" => {
                self.sets.iter_mut().for_each(|set| *set = SyscallSet::new(set.arch()));
                self.inverted = true;
                return Ok(None);
            }
            "none" => return Ok(None),
            _ => {}
        }
        if word.starts_with('/') {
            return Err(format!("{word:?} is a regular expression, which is not supported; write names or %classes"));
        }
        if let Ok(number) = word.parse::<u32>() {
            let arch = only.or(archs().first().copied());
            self.insert(|set| Some(set.arch()) == arch, |_| vec![Sysno(number)]);
            return Ok(None);
        }
        if let Some(name) = class(word)? {
            let chosen = |set: &SyscallSet| only.is_none_or(|arch| set.arch() == arch);
            let members = |arch| tipstaff_decode::class(arch, name).map_or_else(Vec::new, |set| set.iter().collect());
            self.insert(chosen, members);
            return Ok(None);
        }
        let has = |arch: Arch| Sysno::by_name(arch, word).is_some();
        let mut owners = archs().iter().copied().filter(|&arch| has(arch) && only.is_none_or(|only| only == arch));
        let Some(first) = owners.next() else {
            return if optional { Ok(None) } else { Err(unknown(word, only)) };
        };
        let chosen = |set: &SyscallSet| only.is_none_or(|arch| set.arch() == arch);
        self.insert(chosen, |arch| Sysno::by_name(arch, word).into_iter().collect());
        let foreign = only.is_none() && Some(&first) != archs().first();
        Ok(foreign.then(|| format!("only {} programs make the call {word}", first.name())))
    }

    fn insert(&mut self, chosen: impl Fn(&SyscallSet) -> bool, numbers: impl Fn(Arch) -> Vec<Sysno>) {
        for set in self.sets.iter_mut().filter(|set| chosen(set)) {
            let numbers = numbers(set.arch());
            // In a set of all others, what is named is what is left out.
            for number in numbers {
                if self.inverted {
                    set.remove(number)
                } else {
                    set.insert(number)
                };
            }
        }
    }
}

fn personality(suffix: &str) -> Result<Arch, String> {
    let arch = match suffix {
        "64" => Some(Arch::X86_64),
        "32" => Some(Arch::I386),
        "x32" => Some(Arch::X32),
        _ => None,
    };
    arch.filter(|arch| archs().contains(arch))
        .ok_or_else(|| format!("@{suffix} is none of this kernel's: @64 (x86_64), @32 (i386) or @x32"))
}

/// The class that `%class` names, or the older spelling without the sign; None for what is no class's name.
fn class(word: &str) -> Result<Option<&str>, String> {
    const OLD: [&str; 7] = ["file", "process", "network", "signal", "ipc", "desc", "memory"];
    let Some(name) = word.strip_prefix('%').or_else(|| OLD.into_iter().find(|old| *old == word)) else {
        return Ok(None);
    };
    let classes = tipstaff_decode::classes;
    if is_class(name) {
        return Ok(Some(name));
    }
    let near = nearest(name, classes()).map_or_else(
        || format!("there are {}", classes().map(|name| format!("%{name}")).collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean %{near}?"),
    );
    Err(format!("no class {word}; {near}"))
}

fn is_class(name: &str) -> bool {
    archs().first().is_some_and(|&arch| tipstaff_decode::class(arch, name).is_some())
}

fn unknown(word: &str, only: Option<Arch>) -> String {
    let has = |arch: &Arch| Sysno::by_name(*arch, word).is_some();
    let elsewhere: Vec<_> = Arch::ALL.iter().filter(|arch| has(arch)).map(|arch| arch.name()).collect();
    if !elsewhere.is_empty() {
        let here: Vec<_> =
            only.map_or(archs(), |_| &[]).iter().map(|arch| arch.name()).chain(only.map(Arch::name)).collect();
        return format!("{word} is a call of {} and not of {}", elsewhere.join(", "), here.join(", "));
    }
    let near = archs().iter().find_map(|&arch| Sysno::nearest(arch, word));
    match near {
        Some(near) => format!("no system call {word}; did you mean {near}?"),
        None if is_class(word) => format!("no system call {word}; the class is %{word}"),
        None => format!("no system call {word}; `man 2 syscalls` lists them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Calls {
        Calls::parse("-e ", text).expect("a set").0
    }

    fn has(calls: &Calls, name: &str) -> bool {
        let number = Sysno::by_name(Arch::X86_64, name).expect("a call");
        calls.contains(Arch::X86_64, number.0)
    }

    #[test]
    fn names_numbers_and_all_others() {
        let some = parse("openat,close,?nosuchcall,39");
        assert!(has(&some, "openat") && has(&some, "close") && has(&some, "getpid") && !has(&some, "read"));
        let others = parse("!openat,close");
        assert!(!has(&others, "openat") && has(&others, "read") && others.contains(Arch::X86_64, 9999));
        assert!(parse("all").is_all() && parse("!none").is_all() && !parse("none").is_all());
        assert!(!has(&parse("!all"), "read"));
        let only = parse("open@32");
        assert!(!has(&only, "open") && only.contains(Arch::I386, 5));
    }

    #[test]
    fn unions() {
        let all = [parse("openat"), parse("!read,close"), parse("all"), parse("none"), parse("close,read")];
        for a in &all {
            for b in &all {
                let both = a.union(b);
                for name in ["openat", "read", "close", "write"] {
                    assert_eq!(has(&both, name), has(a, name) || has(b, name), "{a:?} {b:?} {name}");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_cure() {
        let says = |text: &str, word: &str| {
            let message = Calls::parse("-e trace=", text).expect_err(text);
            assert!(message.contains(word) && message.contains(text), "{message}");
        };
        says("opennat", "did you mean openat");
        says("open,,close", "empty");
        says("arm_fadvise64_64", "arm");
        says("waitpid@64", "i386");
        says("open@128", "@32");
        says("%networc", "did you mean %network");
        says("%fiel", "%file");
        says("%zzzzzzzz", "%file");
        says("/open", "regular expression");
        let (_, notes) = Calls::parse("-e ", "waitpid").expect("an i386 call");
        assert!(notes[0].contains("i386"), "{notes:?}");
    }
}
