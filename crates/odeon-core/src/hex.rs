//! Bytes as lower-case hexadecimal, the one way in which keys, numbers and digests are written.

/// Lower-case hexadecimal. The text never moves while it is written, so that of a secret there is one copy.
///
/// ```
/// assert_eq!(odeon_core::to_hex(&[0x0a, 0xff]), "0aff");
/// ```
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes of lower-case hexadecimal; none, if it is anything else: one value has one text.
///
/// ```
/// assert_eq!(odeon_core::from_hex("0aff"), Some(vec![0x0a, 0xff]));
/// assert_eq!(odeon_core::from_hex("0AFF"), None);
/// ```
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back_and_has_one_text() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&all)), Some(all));
        assert_eq!((to_hex(&[]), from_hex("")), (String::new(), Some(Vec::new())));
        for bad in ["0", "0a0", "0A", "+1", "0x", " 0", "é", "g0"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
