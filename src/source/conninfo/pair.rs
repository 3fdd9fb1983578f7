//! The result of parsing connection strings and service files.

/// A keyword with its value, as written; the keyword is not checked yet. No `Debug`: the value may
/// be a password, and an unescaped character can make a part of one look like a keyword.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(super) struct Pair {
    pub(super) keyword: String,
    pub(super) value: String,
    /// Position of the keyword: a character of the string, or a line of the file, from 1.
    pub(super) position: usize,
}

/// Pairs in the order in which they were written.
pub(super) type Pairs = Vec<Pair>;
