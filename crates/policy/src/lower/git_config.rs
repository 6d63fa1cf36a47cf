//! What a configuration of git names that leads further: git-config(1), `include.path`, `includeIf.*.path`, `core.hooksPath`, `core.worktree`.

/// In the order in which they stand there, without what a value's quotes and escapes are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Led {
    /// Further configurations; relative to the directory of this one.
    pub includes: Vec<Vec<u8>>,
    /// Relative to the working tree.
    pub hooks: Vec<Vec<u8>>,
    /// Relative to the repository's own directory.
    pub worktree: Option<Vec<u8>>,
}

/// Reads one as git does where it is well-formed; a line that git would refuse is passed over, since git then does nothing.
pub(super) fn led(text: &[u8]) -> Led {
    let mut led = Led::default();
    let mut section = Vec::new();
    for line in lines(text) {
        let mut line = line.trim_ascii_start();
        while let Some(rest) = line.strip_prefix(b"[") {
            // A name in quotes may hold brackets.
            let mut quoted = false;
            let end = rest.iter().position(|byte| {
                quoted ^= *byte == b'"';
                *byte == b']' && !quoted
            });
            let Some(end) = end else { break };
            section = rest[..end].to_ascii_lowercase();
            line = rest[end + 1..].trim_ascii_start();
        }
        let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
        let key = line[..at].trim_ascii().to_ascii_lowercase();
        let value = || value(&line[at + 1..]);
        let name = section.split(|byte| b" \t\"".contains(byte)).next().unwrap_or_default();
        match (name, key.as_slice()) {
            (b"include" | b"includeif", b"path") => led.includes.push(value()),
            (b"core", b"hookspath") => led.hooks.push(value()),
            (b"core", b"worktree") => led.worktree = Some(value()),
            _ => {}
        }
    }
    led
}

/// Lines, those that end in a backslash with the next one.
fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = vec![Vec::new()];
    let mut goes_on = false;
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let body = line.strip_suffix(b"\\").filter(|body| !body.ends_with(b"\\"));
        if !goes_on {
            lines.push(Vec::new());
        }
        if let Some(last) = lines.last_mut() {
            last.extend_from_slice(body.unwrap_or(line));
        }
        goes_on = body.is_some();
    }
    lines
}

fn value(text: &[u8]) -> Vec<u8> {
    let (mut out, mut kept, mut quoted) = (Vec::new(), 0, false);
    let mut bytes = text.trim_ascii_start().iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'#' | b';' if !quoted => break,
            b'\\' => out.push(match bytes.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(&other) => other,
                None => break,
            }),
            byte => {
                out.push(byte);
                if !quoted && byte.is_ascii_whitespace() {
                    continue;
                }
            }
        }
        kept = out.len();
    }
    out.truncate(kept);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_further_is_found_however_it_is_written() {
        let text = b"[core]\n\tbare = false\n\tHooksPath = .githooks ; mine\n\tworktree = \"../a b\"\n[Include] path = one.inc\n\
                     [includeIf \"gitdir:~/x]/\"]\n path=two\\\n.inc\n[remote \"path\"]\n\tpath = no\n[include]\n\tpath = \"th\\\"ree # \" # four\n[core] hooksPath = h\r\n";
        let led = led(text);
        assert_eq!(led.includes, [b"one.inc".to_vec(), b"two.inc".to_vec(), b"th\"ree # ".to_vec()]);
        assert_eq!(led.hooks, [b".githooks".to_vec(), b"h".to_vec()]);
        assert_eq!(led.worktree, Some(b"../a b".to_vec()));
    }

    #[test]
    fn what_is_no_configuration_leads_nowhere() {
        for text in
            [&b""[..], b"[", b"[core", b"[core]\nhooksPath", b"hooksPath = x", b"\xff[]=\n=", b"[a \"\\", b"[core]\\\n"]
        {
            assert_eq!(led(text), Led::default(), "{text:?}");
        }
    }
}
