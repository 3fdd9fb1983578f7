//! Channel patterns, such as `orders.*`, over the dot-separated parts of a channel
//! name.

use std::{fmt, str::FromStr, sync::Arc};

use crate::event::ChannelName;

/// A channel pattern. `*` matches exactly one part, and `**` at the end one or more:
/// `orders.*` matches `orders.new` but neither `orders` nor `orders.new.eu`, and `**`
/// matches every channel. All other text matches itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// The error of parsing a [`Pattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text is empty.
    #[error("a pattern cannot be empty")]
    Empty,
    /// The text is longer than any channel name.
    #[error("a pattern has at most 63 bytes, as a channel's name has")]
    TooLong,
    /// A `*` inside a part, or `**` before the end: `ord*`, `a.**.b`
    #[error("`*` stands for a whole part between dots, `**` for all that follow, at the end")]
    Star,
}

const PART: &str = "*";
const REST: &str = "**";

impl Pattern {
    fn matches(&self, channel: &str) -> bool {
        let (mut wanted, mut given) = (self.0.split('.'), channel.split('.'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(REST), Some(_)) => return true,
                (Some(wanted), Some(given)) if wanted == PART || wanted == given => {}
                _ => return false,
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > ChannelName::MAX_BYTES {
            return Err(PatternError::TooLong);
        }
        let before_the_end = text.rsplit('.').skip(1);
        let is_odd = |part: &str| part.contains('*') && part != PART;
        let last = text.rsplit('.').next().unwrap_or_default();
        if before_the_end.into_iter().any(is_odd) || (is_odd(last) && last != REST) {
            return Err(PatternError::Star);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A list of patterns; a channel has to match one of them. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(Arc<[Pattern]>);

impl Patterns {
    /// Matches every channel.
    pub fn all() -> Self {
        Self(Arc::new([Pattern(REST.to_owned())]))
    }

    /// Whether one of the patterns matches `channel`.
    pub fn matches(&self, channel: &ChannelName) -> bool {
        self.0.iter().any(|p| p.matches(channel.as_str()))
    }

    /// All patterns, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter()
    }
}

impl FromIterator<Pattern> for Patterns {
    fn from_iter<I: IntoIterator<Item = Pattern>>(patterns: I) -> Self {
        Self(patterns.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_part_and_two_are_the_rest() {
        let table = [
            ("orders", "orders", true),
            ("orders", "Orders", false),
            ("orders", "orders.new", false),
            ("orders.*", "orders.new", true),
            ("orders.*", "orders.", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders.new.eu", false),
            ("orders.*", "ordersXnew", false),
            ("orders.**", "orders.new.eu", true),
            ("orders.**", "orders", false),
            ("*.new", "orders.new", true),
            ("*.new", "a.orders.new", false),
            ("*.*", "a.b", true),
            ("*", "a", true),
            ("*", "a.b", false),
            ("**", "a", true),
            ("**", "a.b.c", true),
            ("é.*", "é.ü", true),
        ];
        for (pattern, channel, expected) in table {
            let patterns: Patterns = [pattern.parse().unwrap()].into_iter().collect();
            let channel = ChannelName::new(channel).unwrap();
            assert_eq!(
                patterns.matches(&channel),
                expected,
                "{pattern} {channel:?}"
            );
        }
        let nothing = Patterns::default();
        assert!(!nothing.matches(&ChannelName::new("a").unwrap()));
    }

    #[test]
    fn what_looks_as_if_it_meant_more_is_refused() {
        for text in ["ord*", "*ers", "a.b*", "**.a", "a.**.b", "***", "a.***"] {
            assert_eq!(text.parse::<Pattern>(), Err(PatternError::Star), "{text}");
        }
        assert_eq!("".parse::<Pattern>(), Err(PatternError::Empty));
        let long = "x".repeat(64);
        assert_eq!(long.parse::<Pattern>(), Err(PatternError::TooLong));
    }
}
