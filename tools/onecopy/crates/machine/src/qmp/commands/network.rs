// SPDX-License-Identifier: GPL-2.0

//! Commands about networks, and about what commands take.

use serde::de::IgnoredAny;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use super::Command;

/// Creates the host's end of a network card.
#[derive(Debug, Clone, Serialize)]
pub struct NetdevAdd {
    /// Type of the back end, for example `user` or `tap`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Id of the back end.
    pub id: String,
    /// Properties of the type.
    #[serde(flatten)]
    pub properties: Map<String, Value>,
}
command!(NetdevAdd, "netdev_add", IgnoredAny);

/// Asks for the types of everything that QMP takes and says; the answer has some 200 KiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct QueryQmpSchema {}
command!(QueryQmpSchema, "query-qmp-schema", Vec<SchemaEntity>);

/// A type, command or event. Which fields there are depends on the kind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SchemaEntity {
    /// Its name; that of most types is a number.
    pub name: String,
    /// Its kind: `builtin`, `enum`, `array`, `object`, `alternate`, `command` or `event`.
    pub meta_type: String,
    /// What a builtin type is in JSON.
    pub json_type: Option<String>,
    /// The type of the elements of an array.
    pub element_type: Option<String>,
    /// The type of the arguments of a command.
    pub arg_type: Option<String>,
    /// The member of an object whose value says which variant it is.
    pub tag: Option<String>,
    /// The members of an object.
    #[serde(default)]
    pub members: Vec<SchemaMember>,
    /// The variants of an object.
    #[serde(default)]
    pub variants: Vec<SchemaVariant>,
}

/// A member. Values of enumerations have no type, and alternatives have no name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SchemaMember {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A variant of an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SchemaVariant {
    /// The value of the tag.
    pub case: String,
    /// The object that has the further members.
    #[serde(rename = "type")]
    pub kind: String,
}
