//! Bytes of a guest as text that no terminal acts upon.

/// Appends `bytes` in quotes, with `...` behind them where they were cut.
pub(crate) fn quote(out: &mut Vec<u8>, bytes: &[u8], cut: bool) {
    out.push(b'"');
    escape(out, bytes, b"\"");
    out.push(b'"');
    if cut {
        out.extend_from_slice(b"...");
    }
}

/// Appends `bytes`, everything but printable ASCII as C writes it: `\n`, or octal with as few digits as the next byte leaves room for. The
/// backslash is always escaped, and so is each byte of `also`.
pub(crate) fn escape(out: &mut Vec<u8>, bytes: &[u8], also: &[u8]) {
    let mut plain = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if (b' '..=b'~').contains(&byte) && byte != b'\\' && !also.contains(&byte) {
            continue;
        }
        out.extend_from_slice(&bytes[plain..index]);
        plain = index + 1;
        out.push(b'\\');
        let letter = match byte {
            b'\t' => b't',
            b'\n' => b'n',
            0x0b => b'v',
            0x0c => b'f',
            b'\r' => b'r',
            b'"' | b'\\' => byte,
            _ => {
                let digit_follows = bytes.get(index + 1).is_some_and(u8::is_ascii_digit);
                if digit_follows || byte >= 0o100 {
                    out.push(b'0' + (byte >> 6));
                }
                if digit_follows || byte >= 0o10 {
                    out.push(b'0' + (byte >> 3 & 7));
                }
                b'0' + (byte & 7)
            }
        };
        out.push(letter);
    }
    out.extend_from_slice(&bytes[plain..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        quote(&mut out, bytes, false);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_strace_prints_them() {
        let pairs: [(&[u8], &str); 8] = [
            (b"/etc/ld.so.cache", r#""/etc/ld.so.cache""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\t\n\x0b\x0c\r", r#""\t\n\v\f\r""#),
            (b"\0", r#""\0""#),
            (b"\x001", r#""\0001""#),
            (b"\x1b[31m", r#""\33[31m""#),
            (b"\xc3\xa97", r#""\303\2517""#),
            (b"\x7fELF\x02", r#""\177ELF\2""#),
        ];
        for (bytes, text) in pairs {
            assert_eq!(of(bytes), text);
        }
    }

    #[test]
    fn every_byte_is_printable_afterwards() {
        let all: Vec<u8> = (0..=255).collect();
        assert!(of(&all).bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}
