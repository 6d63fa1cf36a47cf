//! From a profile to TOML, for `profile show`.

use std::ffi::OsStr;
use std::fmt::Write;
use std::path::Path;

use tipstaff_abi::errno;

use super::{
    ArgCondition, Base, CompareOp, Error, Namespaces, PathRule, Place, Problem, Profile, RuleAction, SyscallRule, Width,
};

/// A list that is longer goes over several lines.
const LINE: usize = 100;

impl Profile {
    /// The profile as TOML that reads as the same profile. Fails on text that is not UTF-8, which TOML cannot say.
    pub fn to_toml(&self) -> Result<String, Error> {
        let mut out = Out::default();
        if let Some(extends) = &self.extends {
            out.pair("extends", &quote(extends));
        }
        self.write_program(&mut out)?;
        self.write_filesystem(&mut out)?;
        self.write_network(&mut out);
        self.write_limits(&mut out);
        self.write_isolation(&mut out);
        self.write_syscalls(&mut out)?;
        Ok(out.text)
    }

    fn write_program(&self, out: &mut Out) -> Result<(), Error> {
        let program = &self.program;
        out.section("program");
        if let Some(argv) = &program.argv {
            out.list("argv", strings(argv)?);
        }
        if !program.pass_env.is_empty() {
            out.list("pass_env", strings(&program.pass_env)?);
        }
        let files = [
            ("cwd", &program.cwd),
            ("stdin", &program.stdin),
            ("stdout", &program.stdout),
            ("stderr", &program.stderr),
        ];
        for (key, path) in files {
            if let Some(path) = path {
                out.pair(key, &self::path(path)?);
            }
        }
        out.optional("uid", program.uid);
        out.optional("gid", program.gid);
        out.optional("tty", program.tty);
        if !program.env.is_empty() {
            out.section("program.env");
            for (name, value) in &program.env {
                out.pair(&string(name)?, &string(value)?);
            }
        }
        Ok(())
    }

    fn write_filesystem(&self, out: &mut Out) -> Result<(), Error> {
        let files = &self.filesystem;
        out.section("filesystem");
        out.words("replace", files.replace.iter().map(|list| list.as_str()));
        out.optional_word("cwd", files.cwd.map(|cwd| cwd.as_str()));
        out.optional_word("tmp", files.tmp.map(|tmp| tmp.as_str()));
        out.optional("tmp_exec", files.tmp_exec);
        out.optional("protect_git", files.protect_git);
        if let Some(root) = &files.root {
            out.pair("root", &path(root)?);
        }
        for (key, rules) in
            [("read", &files.read), ("write", &files.write), ("exec", &files.exec), ("deny", &files.deny)]
        {
            let some = |if_exists: bool| rules.iter().filter(move |rule: &&PathRule| rule.if_exists == if_exists);
            out.list(key, some(false).map(|rule| path(&rule.path)).collect::<Result<_, _>>()?);
            out.list(&format!("{key}_if_exists"), some(true).map(|rule| path(&rule.path)).collect::<Result<_, _>>()?);
        }
        out.list("protect", files.protect.iter().map(|rule| path(rule)).collect::<Result<_, _>>()?);
        for mount in &files.mounts {
            out.section("[filesystem.mounts]");
            out.pair("source", &path(&mount.source)?);
            out.pair("target", &path(&mount.target)?);
            out.pair("read_only", &mount.read_only.to_string());
        }
        Ok(())
    }

    fn write_network(&self, out: &mut Out) {
        let network = &self.network;
        out.section("network");
        if let Some(allow) = &network.allow {
            if allow.is_empty() {
                out.pair("allow", "[]");
            }
            out.list("allow", allow.iter().map(|spec| quote(&spec.to_string())).collect());
        }
        out.list("deny", network.deny.iter().map(|rule| quote(&rule.to_string())).collect());
        out.list("bind", network.bind.iter().map(|range| quote(&range.to_string())).collect());
    }

    fn write_limits(&self, out: &mut Out) {
        let limits = &self.limits;
        out.section("limits");
        for (key, time) in [("cpu", limits.cpu), ("wall", limits.wall), ("idle", limits.idle)] {
            out.optional_word(key, time.map(|time| time.format_duration()).as_deref());
        }
        let sizes = [
            ("memory", limits.memory),
            ("output", limits.output),
            ("file_size", limits.file_size),
            ("stack", limits.stack),
            ("disk", limits.disk),
        ];
        for (key, size) in sizes {
            out.optional_word(key, size.map(|size| size.format_size()).as_deref());
        }
        out.optional_word("memory_account", limits.memory_account.map(|account| account.as_str()));
        for (key, count) in
            [("cpu_percent", limits.cpu_percent), ("processes", limits.processes), ("open_files", limits.open_files)]
        {
            out.optional_word(key, count.map(|count| count.format_count()).as_deref());
        }
    }

    fn write_isolation(&self, out: &mut Out) {
        let isolation = &self.isolation;
        out.section("isolation");
        match &isolation.namespaces {
            None => {}
            Some(Namespaces::Auto) => out.pair("namespaces", "\"auto\""),
            Some(Namespaces::None) => out.pair("namespaces", "\"none\""),
            Some(Namespaces::Only(kinds)) if kinds.is_empty() => out.pair("namespaces", "[]"),
            Some(Namespaces::Only(kinds)) => out.words("namespaces", kinds.iter().map(|kind| kind.as_str())),
        }
        out.optional_word("engine", isolation.engine.map(|engine| engine.as_str()));
        out.optional("best_effort", isolation.best_effort);
        out.optional_word("guest_ptrace", isolation.guest_ptrace.map(|guest| guest.as_str()));
        out.optional_word("ptrace_scope", isolation.ptrace_scope.map(|scope| scope.as_str()));
        out.optional_word("guest_listener", isolation.guest_listener.map(|guest| guest.as_str()));
        out.optional_word("denials", isolation.denials.map(|denials| denials.as_str()));
    }

    /// Every rule in full: the plain lists of a file cannot keep the order of rules from several files.
    fn write_syscalls(&self, out: &mut Out) -> Result<(), Error> {
        out.section("syscalls");
        match &self.syscalls.base {
            None => {}
            Some(Base::Default) => out.pair("base", "\"default\""),
            Some(Base::Strict) => out.pair("base", "\"strict\""),
            Some(Base::Nothing) => out.pair("base", "\"nothing\""),
            Some(Base::Oci(file)) => {
                let text = path(file)?;
                // Without a slash or its ending it would be a word.
                let is_word = !text.contains('/') && !text.ends_with(".json\"");
                out.pair("base", &if is_word { path(&Path::new(".").join(file))? } else { text });
            }
        }
        self.syscalls.rules.iter().for_each(|rule| write_rule(out, rule));
        Ok(())
    }
}

fn write_rule(out: &mut Out, rule: &SyscallRule) {
    out.section("[syscalls.rule]");
    out.list("names", rule.names.iter().map(|name| quote(name)).collect());
    match rule.action {
        RuleAction::Allow => out.pair("action", "\"allow\""),
        RuleAction::Kill => out.pair("action", "\"kill\""),
        RuleAction::Log => out.pair("action", "\"log\""),
        RuleAction::Errno(number) => {
            out.pair("action", "\"errno\"");
            out.pair("errno", &quote(errno::name(number).unwrap_or("EPERM")));
        }
    }
    out.list("args", rule.conditions.iter().map(argument).collect());
}

fn argument(condition: &ArgCondition) -> String {
    let ArgCondition { index, op, value, mask, width } = condition;
    let mut text = format!("{{ index = {index}, op = \"{op}\", value = {value:#x}");
    // Writing to a String cannot fail.
    if *op == CompareOp::MaskedEq {
        let _ = write!(text, ", mask = {mask:#x}");
    }
    match width {
        None => {}
        Some(Width::W32) => text.push_str(", width = 32"),
        Some(Width::W64) => text.push_str(", width = 64"),
    }
    text.push_str(" }");
    text
}

/// TOML in the making.
#[derive(Default)]
struct Out {
    text: String,
    /// A header that nothing stands under yet.
    header: Option<String>,
}

impl Out {
    /// Opens a section; it shows only when something is in it.
    fn section(&mut self, name: &str) {
        self.header = Some(format!("[{name}]\n"));
    }

    fn pair(&mut self, key: &str, value: &str) {
        if let Some(header) = self.header.take() {
            if !self.text.is_empty() {
                self.text.push('\n');
            }
            self.text.push_str(&header);
        }
        self.text.push_str(key);
        self.text.push_str(" = ");
        self.text.push_str(value);
        self.text.push('\n');
    }

    fn optional(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.pair(key, &value.to_string());
        }
    }

    fn optional_word(&mut self, key: &str, word: Option<&str>) {
        if let Some(word) = word {
            self.pair(key, &quote(word));
        }
    }

    /// A list, unless it is empty.
    fn list(&mut self, key: &str, items: Vec<String>) {
        if items.is_empty() {
            return;
        }
        let line = format!("[{}]", items.join(", "));
        if key.len() + line.len() <= LINE {
            self.pair(key, &line);
        } else {
            self.pair(key, &format!("[\n    {},\n]", items.join(",\n    ")));
        }
    }

    fn words(&mut self, key: &str, words: impl Iterator<Item = &'static str>) {
        self.list(key, words.map(quote).collect());
    }
}

/// A path; one that begins with a real `~` says so.
fn path(path: &Path) -> Result<String, Error> {
    let text = utf8(path.as_os_str())?;
    Ok(if text.starts_with('~') { quote(&format!("./{text}")) } else { quote(text) })
}

fn string(text: &OsStr) -> Result<String, Error> {
    utf8(text).map(quote)
}

fn strings(texts: &[std::ffi::OsString]) -> Result<Vec<String>, Error> {
    texts.iter().map(|text| string(text)).collect()
}

fn utf8(text: &OsStr) -> Result<&str, Error> {
    text.to_str().ok_or_else(|| {
        let problem = Problem::NotToml { text: text.to_string_lossy().into_owned() };
        Error::new(Place { name: "profile".to_owned(), position: None }, problem)
    })
}

/// A basic string of TOML.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
