//! Header fields whose value is a list. A sender, or a proxy on the way, may
//! write such a list as one line or as several: both mean the same (RFC 9110,
//! section 5.3). `HeaderMap::get` returns the first line alone, so it is only
//! for fields with a single value.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The texts between the commas of all lines, in order. A line that is not
/// visible ASCII counts as one empty text. Quoted commas are not recognized: no
/// field that is read here needs them.
pub(in crate::transport) fn texts<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl DoubleEndedIterator<Item = &'a str> + use<'a> {
    let lines = headers.get_all(name).iter().map(HeaderValue::to_str);
    let texts = lines.flat_map(|line| line.unwrap_or_default().split(','));
    texts.map(str::trim)
}

/// Non-empty elements of the list: an empty one does not count (RFC 9110,
/// section 5.6.1).
pub(in crate::transport) fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl DoubleEndedIterator<Item = &'a str> + use<'a> {
    texts(headers, name).filter(|text| !text.is_empty())
}

/// Whether the list contains `element`, case-insensitively.
pub(in crate::transport) fn has(headers: &HeaderMap, name: &HeaderName, element: &str) -> bool {
    elements(headers, name).any(|one| one.eq_ignore_ascii_case(element))
}

/// All lines joined, unchanged; invalid UTF-8 is replaced.
pub(in crate::transport) fn line(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines = headers.get_all(name).iter();
    let lines = lines.map(|line| String::from_utf8_lossy(line.as_bytes()));
    lines.collect::<Vec<_>>().join(", ")
}

/// The elements joined as one line.
pub(in crate::transport) fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    elements(headers, name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use http::header::CONNECTION;

    use super::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let values = lines.iter().map(|line| HeaderValue::from_bytes(line));
        values.map(|value| (CONNECTION, value.unwrap())).collect()
    }

    #[test]
    fn several_lines_are_one_list() {
        for lines in [
            &[&b"a, b,c"[..]][..],
            &[b"a", b"b", b"c"],
            &[b"a,b", b" c "],
            &[b"", b",a ,\t, b,", b",", b"c"],
            &[b"a", b"\xe9, x", b"b", b"c"],
        ] {
            let headers = headers(lines);
            let all: Vec<_> = elements(&headers, &CONNECTION).collect();
            assert_eq!(all, ["a", "b", "c"], "{lines:?}");
            let mut backwards: Vec<_> = elements(&headers, &CONNECTION).rev().collect();
            backwards.reverse();
            assert_eq!(backwards, all);
            assert_eq!(joined(&headers, &CONNECTION), "a, b, c");
            assert!(has(&headers, &CONNECTION, "B") && !has(&headers, &CONNECTION, "a, b"));
        }
        assert!(!has(&headers(&[]), &CONNECTION, "") && !has(&headers(&[b""]), &CONNECTION, ""));
    }

    #[test]
    fn what_cannot_be_read_keeps_its_place() {
        let headers = headers(&[b"a", b"\xe9, x", b",b"]);
        let all: Vec<_> = texts(&headers, &CONNECTION).collect();
        assert_eq!(all, ["a", "", "", "b"]);
    }
}
