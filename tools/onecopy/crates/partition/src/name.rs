// SPDX-License-Identifier: GPL-2.0

//! Names of partitions.

use std::fmt;
use std::str::FromStr;

use onecopy_system::GuestName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

/// The name of a partition. The rules are those for guests: the guest that runs in a partition has
/// its name unless another one is chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
pub struct PartitionName(GuestName);

/// A text that cannot be the name of a partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name of a partition: 1 to 64 of a-z A-Z 0-9 . _ -, and the first is a letter or a digit")]
pub struct PartitionNameError(String);

impl PartitionName {
    /// Returns the name as a string.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the name of the guest that runs in the partition by default.
    pub fn as_guest(&self) -> &GuestName {
        &self.0
    }
}

impl FromStr for PartitionName {
    type Err = PartitionNameError;

    fn from_str(text: &str) -> Result<Self, PartitionNameError> {
        let name = text.parse();
        name.map(Self)
            .map_err(|_| PartitionNameError(text.to_owned()))
    }
}

impl TryFrom<String> for PartitionName {
    type Error = PartitionNameError;

    fn try_from(text: String) -> Result<Self, PartitionNameError> {
        text.parse()
    }
}

impl From<PartitionName> for String {
    fn from(name: PartitionName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_a_guest_and_no_way_out_of_a_directory() {
        let name: PartitionName = "web-1".parse().unwrap();
        assert_eq!(
            (name.as_str(), name.as_guest().as_str()),
            ("web-1", "web-1")
        );
        for text in ["", ".", "..", "a/b", ".lock", "-a", "a b", "a\n"] {
            let error = text.parse::<PartitionName>().unwrap_err().to_string();
            assert!(error.contains("is not a name of a partition"), "{error}");
        }
    }
}
