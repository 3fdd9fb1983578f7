//! Paths in a source file: enough of the grammar for `use` and for paths in the
//! code.

/// `hub/mod.rs` is `[hub]`, `hub/log.rs` is `[hub, log]`.
pub(super) fn module(file: &str) -> Vec<String> {
    let path = file.strip_suffix(".rs").unwrap();
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// The code without comments and the tests at the end; line numbers stay the
/// same.
pub(super) fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text.lines().map(|line| match line.trim_start() {
        comment if comment.starts_with("//") => "",
        _ => line.split(" // ").next().unwrap(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Offsets at which `name` is a whole path, or the whole end of one.
pub(super) fn places(code: &str, name: &str) -> Vec<usize> {
    let found = code.match_indices(name).map(|(offset, _)| offset);
    let whole = found.filter(|&offset| {
        let (before, after) = (&code[..offset], &code[offset + name.len()..]);
        let begins = !before.ends_with(is_part) && !before.ends_with('.');
        begins && (after.starts_with("::") || (name.contains("::") && !after.starts_with(is_part)))
    });
    whole.collect()
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Paths from the crate's root, also those through `super`.
pub(super) fn named(code: &str, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut named = Vec::new();
    for offset in places(code, "crate") {
        tree(code, offset + "crate::".len(), &[], &mut named);
    }
    for offset in places(code, "super") {
        // `super::super` matches twice; the second match names too little.
        if !code[..offset].ends_with("super::") {
            let (mut rest, mut above) = (offset, module);
            while let Some(after) = code[rest..].strip_prefix("super::") {
                rest = code.len() - after.len();
                above = above.split_last().map_or(above, |(_, above)| above);
            }
            tree(code, rest, above, &mut named);
        }
    }
    named
}

/// The leaves of the use tree at `offset`; returns the offset of its end.
fn tree(
    code: &str,
    offset: usize,
    above: &[String],
    leaves: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let skip = |at: usize| code.len() - code[at..].trim_start_matches([',', ' ', '\n']).len();
    if let Some(inner) = code[offset..].strip_prefix('{') {
        let mut at = skip(code.len() - inner.len());
        while !code[at..].starts_with('}') {
            at = skip(tree(code, at, above, leaves));
        }
        return at + 1;
    }
    let name = code[offset..].split(|c| !is_part(c)).next().unwrap();
    let end = offset + name.len().max(1);
    let path = [above, &[name.to_owned()]].concat();
    if code[end..].starts_with("::") {
        return tree(code, end + 2, &path, leaves);
    }
    leaves.push((offset, path));
    let renamed = code[end..].strip_prefix(" as ");
    renamed.map_or(end, |name| {
        code.len() - name.trim_start_matches(is_part).len()
    })
}
