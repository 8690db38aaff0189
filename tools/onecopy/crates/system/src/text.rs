// SPDX-License-Identifier: GPL-2.0

//! Values of other crates as text in files.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serializer;

/// Writes what can be shown.
pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// Reads what is written so.
pub(crate) fn deserialize<'a, T, D>(from: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'a>,
{
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

/// Such values where there may be none.
pub(crate) mod option {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;

    /// Writes what there is.
    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    /// Reads what there is.
    pub(crate) fn deserialize<'a, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'a>,
    {
        let word = Option::<String>::deserialize(from)?;
        word.map(|word| word.parse().map_err(D::Error::custom))
            .transpose()
    }
}

/// Lists of such values.
pub(crate) mod list {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;

    /// Writes a list.
    pub(crate) fn serialize<T: Display, S: Serializer>(
        values: &[T],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(T::to_string))
    }

    /// Reads a list.
    pub(crate) fn deserialize<'a, T, D>(from: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'a>,
    {
        let words = Vec::<String>::deserialize(from)?;
        let values = words.iter().map(|word| word.parse());
        values
            .collect::<Result<_, _>>()
            .map_err(|error: T::Err| D::Error::custom(error))
    }
}

/// Types of segments.
pub(crate) mod keyword {
    use onecopy_format::segment_space::SegmentType;
    use serde::de::Error;
    use serde::Deserialize;
    use serde::Deserializer;

    pub(crate) use super::serialize;

    /// Reads a type.
    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<SegmentType, D::Error> {
        let word = String::deserialize(from)?;
        SegmentType::from_keyword(&word)
            .ok_or_else(|| D::Error::custom(format!("{word:?} is not a type of a segment")))
    }
}
