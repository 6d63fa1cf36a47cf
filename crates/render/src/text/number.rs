//! Numbers as digits, without a formatter: one trace prints millions.

/// Appends a decimal number.
pub(crate) fn decimal(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends `0x…`; zero is `0`, as printf(3) prints it with `%#x`.
pub(crate) fn hex(out: &mut Vec<u8>, number: u64) {
    if number == 0 {
        out.push(b'0');
        return;
    }
    out.extend_from_slice(b"0x");
    let digits = (64 - number.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (4 * place) & 15) as usize]);
    }
}

/// Appends a mode as strace does: a leading zero, and three digits at least.
pub(crate) fn octal(out: &mut Vec<u8>, number: u64) {
    let digits = (64 - number.leading_zeros()).div_ceil(3).max(2);
    out.push(b'0');
    for place in (0..digits).rev() {
        out.push(b'0' + (number >> (3 * place) & 7) as u8);
    }
}

/// Appends `number` with leading zeros up to `width` digits.
pub(crate) fn padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    out.resize(out.len() + width.saturating_sub(digits.len()), b'0');
    out.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(print: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        print(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hexadecimal_is_what_printf_prints() {
        for number in [0, 1, 15, 16, 255, 0x7ffd_1234_5678, u64::MAX >> 1, u64::MAX] {
            let expected = if number == 0 { "0".to_owned() } else { format!("{number:#x}") };
            assert_eq!(of(|out| hex(out, number)), expected);
        }
    }

    #[test]
    fn octal_has_three_digits_at_least() {
        for (number, expected) in [
            (0, "000"),
            (7, "007"),
            (0o22, "022"),
            (0o644, "0644"),
            (0o7777, "07777"),
            (u64::MAX, "01777777777777777777777"),
        ] {
            assert_eq!(of(|out| octal(out, number)), expected);
        }
    }

    #[test]
    fn padding_never_cuts() {
        assert_eq!(of(|out| padded(out, 7, 3)), "007");
        assert_eq!(of(|out| padded(out, 1234, 3)), "1234");
    }
}
