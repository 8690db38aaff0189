// SPDX-License-Identifier: GPL-2.0

//! The JSON of a back end's properties.
//!
//! On QEMU's command line all values are text. Its monitor insists on the types that it describes
//! itself: `script=no` is the text `"no"`, and `restrict=no` is `false`.

use std::collections::BTreeMap;

use onecopy_machine::qmp::commands::NetdevAdd;
use onecopy_machine::qmp::commands::SchemaEntity;
use onecopy_machine::qmp::Command;
use serde_json::Map;
use serde_json::Value;

use super::Property;

/// What QEMU's monitor takes.
#[derive(Debug)]
pub(super) struct Schema {
    entities: BTreeMap<String, SchemaEntity>,
}

/// What was given for one property: values of its own, and properties within it.
#[derive(Debug, Default)]
struct Given<'a> {
    values: Vec<&'a str>,
    members: BTreeMap<&'a str, Given<'a>>,
}

impl<'a> Given<'a> {
    fn of(properties: &'a [Property]) -> Self {
        let mut root = Self::default();
        for property in properties {
            let mut place = &mut root;
            for name in property.name.split('.') {
                place = place.members.entry(name).or_default();
            }
            place.values.push(&property.value);
        }
        root
    }

    /// Where a value is given twice, QEMU takes the last.
    fn last(&self) -> &'a str {
        self.values.last().copied().unwrap_or_default()
    }
}

impl Schema {
    pub(super) fn new(entities: Vec<SchemaEntity>) -> Self {
        let by_name = entities
            .into_iter()
            .map(|entity| (entity.name.clone(), entity));
        Self {
            entities: by_name.collect(),
        }
    }

    /// Returns the properties of a back end of this type. What QEMU does not know stays text, and
    /// is what it then refuses.
    pub(super) fn typed(&self, kind: &str, properties: &[Property]) -> Map<String, Value> {
        let command = self.entity(NetdevAdd::NAME);
        let arguments = command.and_then(|command| self.entity(command.arg_type.as_deref()?));
        self.members(arguments, kind, &Given::of(properties))
    }

    fn entity(&self, name: &str) -> Option<&SchemaEntity> {
        self.entities.get(name)
    }

    /// Returns the members of an object that is of this variant, if it has any.
    fn members(
        &self,
        object: Option<&SchemaEntity>,
        case: &str,
        given: &Given<'_>,
    ) -> Map<String, Value> {
        let variants = object.into_iter().flat_map(|object| &object.variants);
        let variant = variants
            .filter(|variant| variant.case == case)
            .find_map(|variant| self.entity(&variant.kind));
        let known = || {
            let both = object.into_iter().chain(variant);
            both.flat_map(|object| &object.members)
        };
        let typed = |(name, given): (&&str, &Given<'_>)| {
            let member = known().find(|member| member.name == **name);
            let kind = member.and_then(|member| self.entity(&member.kind));
            ((*name).to_owned(), self.value(kind, given))
        };
        given.members.iter().map(typed).collect()
    }

    fn value(&self, kind: Option<&SchemaEntity>, given: &Given<'_>) -> Value {
        let meta_type = kind.map_or("", |kind| kind.meta_type.as_str());
        match kind {
            _ if !given.members.is_empty() => {
                let tag = kind.and_then(|kind| given.members.get(kind.tag.as_deref()?));
                let case = tag.map_or("", |tag| tag.last());
                Value::Object(self.members(kind, case, given))
            }
            Some(list) if meta_type == "array" => {
                let element = list.element_type.as_deref();
                let element = element.and_then(|element| self.entity(element));
                let values = given.values.iter();
                values.map(|text| self.scalar(element, text)).collect()
            }
            kind => self.scalar(kind, given.last()),
        }
    }

    fn scalar(&self, kind: Option<&SchemaEntity>, text: &str) -> Value {
        let Some(kind) = kind else { return text.into() };
        // The elements of a list of texts are objects with the text in them.
        if let ("object", [member]) = (kind.meta_type.as_str(), kind.members.as_slice()) {
            let value = self.scalar(self.entity(&member.kind), text);
            return Value::Object(Map::from_iter([(member.name.clone(), value)]));
        }
        match (kind.json_type.as_deref(), text) {
            (Some("boolean"), "on" | "yes" | "true" | "y") => true.into(),
            (Some("boolean"), "off" | "no" | "false" | "n") => false.into(),
            (Some("int" | "number"), number) => number
                .parse::<i64>()
                .map_or_else(|_| text.into(), Value::from),
            _ => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::notation;
    use super::*;

    /// The form of QEMU's answer, with types of other names.
    fn schema() -> Schema {
        let entities = json!([
            {"name": "netdev_add", "meta-type": "command", "arg-type": "1", "ret-type": "0"},
            {"name": "1", "meta-type": "object", "tag": "type",
             "members": [{"name": "id", "type": "str"}],
             "variants": [{"case": "user", "type": "2"}, {"case": "stream", "type": "3"}]},
            {"name": "2", "meta-type": "object", "members": [
                {"name": "net", "default": null, "type": "str"},
                {"name": "restrict", "default": null, "type": "bool"},
                {"name": "ipv6-prefixlen", "default": null, "type": "int"},
                {"name": "hostfwd", "default": null, "type": "[4]"}]},
            {"name": "3", "meta-type": "object", "members": [{"name": "addr", "type": "5"}]},
            {"name": "[4]", "meta-type": "array", "element-type": "4"},
            {"name": "4", "meta-type": "object", "members": [{"name": "str", "type": "str"}]},
            {"name": "5", "meta-type": "object", "tag": "type",
             "members": [{"name": "type", "type": "6"}],
             "variants": [{"case": "fd", "type": "4"}, {"case": "unix", "type": "7"}]},
            {"name": "6", "meta-type": "enum", "members": [{"name": "fd"}, {"name": "unix"}],
             "values": ["fd", "unix"]},
            {"name": "7", "meta-type": "object", "members": [
                {"name": "path", "type": "str"}, {"name": "abstract", "type": "bool"}]},
            {"name": "str", "meta-type": "builtin", "json-type": "string"},
            {"name": "bool", "meta-type": "builtin", "json-type": "boolean"},
            {"name": "int", "meta-type": "builtin", "json-type": "int"},
        ]);
        Schema::new(serde_json::from_value(entities).unwrap())
    }

    #[test]
    fn values_get_the_types_that_the_monitor_wants() {
        for (text, expected) in [
            ("user", json!({})),
            (
                "user,net=10.0.0.0/8,restrict=on,ipv6-prefixlen=64",
                json!({"net": "10.0.0.0/8", "restrict": true, "ipv6-prefixlen": 64}),
            ),
            ("user,restrict,restrict=no", json!({"restrict": false})),
            (
                "user,hostfwd=tcp::1-:2,hostfwd=tcp::3-:4",
                json!({"hostfwd": [{"str": "tcp::1-:2"}, {"str": "tcp::3-:4"}]}),
            ),
            (
                "stream,addr.type=unix,addr.path=/s,addr.abstract=off",
                json!({"addr": {"type": "unix", "path": "/s", "abstract": false}}),
            ),
        ] {
            let (kind, properties) = notation::parse(text).unwrap();
            let typed = schema().typed(&kind, &properties);
            assert_eq!(Value::Object(typed), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_left_for_qemu_to_refuse() {
        for (text, expected) in [
            ("user,bogus=1", json!({"bogus": "1"})),
            ("user,restrict=maybe", json!({"restrict": "maybe"})),
            ("user,ipv6-prefixlen=x", json!({"ipv6-prefixlen": "x"})),
            ("nosuch,net=x", json!({"net": "x"})),
        ] {
            let (kind, properties) = notation::parse(text).unwrap();
            let typed = schema().typed(&kind, &properties);
            assert_eq!(Value::Object(typed), expected, "{text}");
        }
    }
}
