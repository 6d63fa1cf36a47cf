//! `io.containers.trace-syscall` = `if:PATH;of:PATH`: where the recording goes, and what it adds to. The grammar and the errors are those of
//! oci-seccomp-bpf-hook, so that pods and scripts written for it work.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tipstaff_oci_seccomp as oci;

use crate::Error;

/// The key. CRI-O puts `/CONTAINER` behind it, where a pod has several containers.
pub const KEY: &str = "io.containers.trace-syscall";

/// No profile is that long.
const MOST_INPUT: u64 = 16 << 20;

/// What an annotation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// A profile whose rules stay, and to which is added what they do not allow.
    pub input: Option<PathBuf>,
    /// Where the profile goes, placeholders not replaced yet.
    pub output: PathBuf,
}

/// Which annotation is this container's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// This value.
    Ours(&'a str),
    /// There are only annotations for other containers.
    Others(Vec<&'a str>),
    /// There is none.
    Absent,
}

/// The value for the container called `name`: one for it alone goes before one for all.
pub fn choose<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Choice<'a> {
    if let Some(value) = annotations.get(&format!("{KEY}/{name}")).or_else(|| annotations.get(KEY)) {
        return Choice::Ours(value);
    }
    let others: Vec<&str> = annotations.keys().filter_map(|key| key.strip_prefix(KEY)?.strip_prefix('/')).collect();
    if others.is_empty() { Choice::Absent } else { Choice::Others(others) }
}

impl Annotation {
    /// Reads a value; an input profile must be there and be one.
    ///
    /// # Errors
    /// In the words of oci-seccomp-bpf-hook; behind its words for a file that cannot be used stands why.
    pub fn parse(value: &str) -> Result<Self, Error> {
        let wrong = |what: String| Err(Error::Annotation(what));
        if value.matches(';').count() > 1 {
            return wrong(format!("more than one semi-colon: {value:?}"));
        }
        let (mut input, mut output) = (None, None);
        for part in value.split(';') {
            if let Some(path) = part.strip_prefix("if:") {
                let path = Path::new(path.trim());
                if !path.is_absolute() {
                    return wrong(format!("input file path must be absolute: {path:?}"));
                }
                read_input(path)?;
                input = Some(path.to_path_buf());
            } else if let Some(path) = part.strip_prefix("of:") {
                let path = Path::new(path.trim());
                if !path.is_absolute() {
                    return wrong(format!("output file path must be absolute: {path:?}"));
                }
                output = Some(path.to_path_buf());
            } else {
                return wrong(r#"must start "if:" or "of:" prefix"#.to_owned());
            }
        }
        match output {
            Some(output) => Ok(Self { input, output }),
            None => wrong("providing output file is mandatory".to_owned()),
        }
    }

    /// The output file, with `{id}` and `{name}` replaced.
    ///
    /// # Errors
    /// Another word in braces, or a name that would be more than one component of a path.
    pub fn output(&self, id: &str, name: &str) -> Result<PathBuf, Error> {
        let text = self.output.to_str().ok_or_else(|| Error::Annotation("output file path is not UTF-8".into()))?;
        let mut path = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((word, after)) = behind.split_once('}') else { break };
            let value = match word {
                "id" => id,
                "name" => name,
                _ => {
                    let known = "{id} and {name} are known";
                    return Err(Error::Annotation(format!("unknown placeholder {{{word}}} in {text:?}: {known}")));
                }
            };
            if value.is_empty() || value.starts_with('.') || value.contains(['/', '\0']) {
                return Err(Error::Annotation(format!(
                    "{{{word}}} is {value:?} here, which is no file's name: {text:?}"
                )));
            }
            path.extend([before, value]);
            rest = after;
        }
        path.push_str(rest);
        Ok(path.into())
    }
}

/// Reads an input profile.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read_input(path: &Path) -> Result<oci::Document, Error> {
    let read = || -> std::io::Result<String> {
        // The path is the container's owner's: a FIFO must not hold us up, nor a file that never ends.
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("no file"));
        }
        let mut text = String::new();
        file.take(MOST_INPUT).read_to_string(&mut text)?;
        Ok(text)
    };
    let text =
        read().map_err(|e| Error::Annotation(format!("error reading input file: {path:?}: {}", crate::words(&e))))?;
    oci::parse(&text).map_err(|e| Error::Annotation(format!("error parsing input file: {path:?}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: &str) -> String {
        Annotation::parse(value).expect_err(value).to_string()
    }

    #[test]
    fn the_errors_are_the_known_ones() {
        assert_eq!(told("if:/a;of:/b;"), r#"invalid annotation: more than one semi-colon: "if:/a;of:/b;""#);
        for value in ["", "/tmp/x", " of:/tmp/x", "of:/a;", ";of:/a", "OF:/a", "of:/a; if:/b"] {
            assert_eq!(told(value), r#"invalid annotation: must start "if:" or "of:" prefix"#, "{value:?}");
        }
        assert_eq!(told("of:"), r#"invalid annotation: output file path must be absolute: """#);
        assert_eq!(told("of: a"), r#"invalid annotation: output file path must be absolute: "a""#);
        assert_eq!(told("if:a;of:/b"), r#"invalid annotation: input file path must be absolute: "a""#);
        assert_eq!(
            told("if:/nonexistent/x;of:/b"),
            r#"invalid annotation: error reading input file: "/nonexistent/x": no such file or directory"#
        );
        assert!(told("if:/dev/zero;of:/b").ends_with(r#"error reading input file: "/dev/zero": no file"#));
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("p.json");
        std::fs::write(&file, "{").expect("a file");
        let error = told(&format!("if:{};of:/b", file.display()));
        assert!(
            error.starts_with(&format!("invalid annotation: error parsing input file: {file:?}: line 1")),
            "{error}"
        );
        std::fs::write(&file, r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#).expect("a file");
        assert_eq!(told(&format!("if:{}", file.display())), "invalid annotation: providing output file is mandatory");
    }

    #[test]
    fn paths_are_trimmed_and_come_in_any_order() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("p.json");
        std::fs::write(&file, r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#).expect("a file");
        let value = format!("of: /out.json ;if:\t{} ", file.display());
        let expected = Annotation { input: Some(file), output: "/out.json".into() };
        assert_eq!(Annotation::parse(&value).expect("an annotation"), expected);
        // Two outputs: the last counts, as it always has.
        assert_eq!(Annotation::parse("of:/a;of:/b").expect("an annotation").output, Path::new("/b"));
    }

    #[test]
    fn placeholders() {
        let output = |path: &str, name: &str| {
            Annotation { input: None, output: path.into() }.output("c16a", name).map_err(|e| e.to_string())
        };
        assert_eq!(output("/o/{name}-{id}.json", "web"), Ok("/o/web-c16a.json".into()));
        assert_eq!(output("/o/plain{.json", "web"), Ok("/o/plain{.json".into()));
        assert!(output("/o/{pod}.json", "web").expect_err("unknown").contains("unknown placeholder {pod}"));
        for name in ["../../etc/x", "..", "", "a/b"] {
            assert!(output("/o/{name}", name).expect_err(name).contains("no file's name"));
        }
        // A name that is not asked for may be anything.
        assert_eq!(output("/o/{id}", "../x"), Ok("/o/c16a".into()));
    }

    #[test]
    fn the_container_s_own_goes_first() {
        let all = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<String, String>>()
        };
        let pod = all(&[(KEY, "of:/all"), ("io.containers.trace-syscall/web", "of:/web")]);
        assert_eq!(choose(&pod, "web"), Choice::Ours("of:/web"));
        assert_eq!(choose(&pod, "db"), Choice::Ours("of:/all"));
        let pod = all(&[("io.containers.trace-syscall/web", "of:/web"), ("io.containers.trace-syscalls", "of:/no")]);
        assert_eq!(choose(&pod, "db"), Choice::Others(vec!["web"]));
        assert_eq!(choose(&all(&[("other", "")]), "db"), Choice::Absent);
    }
}
