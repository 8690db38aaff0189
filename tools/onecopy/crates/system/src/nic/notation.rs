// SPDX-License-Identifier: GPL-2.0

//! QEMU's notation of options: `TYPE,NAME=VALUE,...`, with commas in values doubled.

/// A property as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    /// Its name, with dots where it is within another one.
    pub(super) name: String,
    /// Its value; that of a name alone is `on`.
    pub(super) value: String,
}

/// Splits a text; [`None`] if it does not begin with a type.
pub(super) fn parse(text: &str) -> Option<(String, Vec<Property>)> {
    let mut words = split(text).into_iter();
    let first = words.next()?;
    let kind = first.strip_prefix("type=").unwrap_or(&first).to_owned();
    if kind.is_empty() || kind.contains('=') {
        return None;
    }
    let property = |word: String| {
        let (name, value) = word.split_once('=').unwrap_or((&word, "on"));
        Property {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    };
    Some((kind, words.map(property).collect()))
}

/// Splits at single commas, and makes one of two.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        if next == ',' && rest.next_if_eq(&',').is_none() {
            words.push(String::new());
        } else if let Some(word) = words.last_mut() {
            word.push(next);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_follow_the_type() {
        let parsed = |text: &str| {
            let (kind, properties) = parse(text)?;
            let pairs = properties
                .into_iter()
                .map(|p| format!("{}:{}", p.name, p.value));
            Some((kind, pairs.collect::<Vec<_>>().join(" ")))
        };
        let some = |kind: &str, pairs: &str| Some((kind.to_owned(), pairs.to_owned()));
        assert_eq!(parsed("user"), some("user", ""));
        assert_eq!(parsed("type=tap,vhost"), some("tap", "vhost:on"));
        assert_eq!(
            parsed("user,tftp=/a,,b,hostfwd=tcp::80-:80,hostfwd=x=y"),
            some("user", "tftp:/a,b hostfwd:tcp::80-:80 hostfwd:x=y")
        );
        assert_eq!(parsed(",br=br0"), None);
        assert_eq!(parsed("br=br0"), None);
    }
}
