// SPDX-License-Identifier: GPL-2.0

//! The schemas of what `--json` prints: those in the tree are those of the program, no field has gone, and
//! what is printed conforms to them.
//!
//! `ONECOPY_WRITE_SCHEMAS=1 cargo test -p onecopy --test cli schema` writes them anew, unless a field would
//! vanish.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::json;
use serde_json::Value;

use crate::util::eqnice;
use crate::util::Dir;

const WRITE: &str = "ONECOPY_WRITE_SCHEMAS";

/// Returns the file of a schema.
fn path(verb: &str) -> PathBuf {
    let name = format!("{}.json", verb.replace(' ', "-"));
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema");
    directory.join(name)
}

fn checked_in(verb: &str) -> Option<String> {
    fs::read_to_string(path(verb)).ok()
}

/// Returns the verbs that have schemas.
pub(crate) fn verbs() -> Vec<String> {
    let list = Dir::new().ok(&["schema"]);
    list.lines().map(str::to_owned).collect()
}

/// Collects the paths of all fields, as `segment_spaces[].name`.
fn fields(schema: &Value, above: &str, found: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{above}.{name}");
        fields(field, &path, found);
        found.insert(path);
    }
    if schema["items"].is_object() {
        fields(&schema["items"], &format!("{above}[]"), found);
    }
    for several in ["anyOf", "oneOf", "allOf"] {
        for part in schema[several].as_array().into_iter().flatten() {
            fields(part, above, found);
        }
    }
}

fn fields_of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    fields(&serde_json::from_str(text).unwrap(), "", &mut found);
    found
}

/// Refuses fields that a schema does not name: one that was forgotten is no part of the contract.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(close);
            if map.get("properties").is_some_and(Value::is_object) && map.contains_key("type") {
                map.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Parses what a verb has printed, and checks it against its schema, which must name all fields.
#[track_caller]
pub(crate) fn conforming(verb: &str, text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut schema: Value = serde_json::from_str(&checked_in(verb).unwrap()).unwrap();
    close(&mut schema);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong = validator.iter_errors(&value);
    let wrong: Vec<_> = wrong
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{verb}: {wrong:#?} in {text}");
    value
}

#[test]
fn schemas_in_the_tree_are_those_of_the_program() {
    let dir = Dir::new();
    let verbs = verbs();
    for verb in &verbs {
        let words: Vec<&str> = ["schema"].into_iter().chain(verb.split(' ')).collect();
        let generated = dir.ok(&words);
        let old = checked_in(verb);
        if let Some(old) = &old {
            let gone = &fields_of(old) - &fields_of(&generated);
            assert!(gone.is_empty(), "{verb}: readers may need {gone:?}");
        }
        let schema: Value = serde_json::from_str(&generated).unwrap();
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{verb}: {error}"));
        if std::env::var_os(WRITE).is_some() {
            fs::create_dir_all(path(verb).parent().unwrap()).unwrap();
            fs::write(path(verb), generated).unwrap();
        } else {
            let old = old.unwrap_or_else(|| panic!("{verb}: {WRITE}=1 writes its schema"));
            eqnice!(generated, old);
        }
    }
    let files = fs::read_dir(path("error").parent().unwrap()).unwrap();
    assert_eq!(files.count(), verbs.len(), "a schema belongs to no verb");
}

#[test]
fn fields_are_described() {
    for verb in verbs() {
        let schema: Value = serde_json::from_str(&checked_in(&verb).unwrap()).unwrap();
        let mut found = Vec::new();
        undescribed(&schema, "", &mut found);
        assert!(found.is_empty(), "{verb}: {found:?}");
    }
}

fn undescribed(schema: &Value, above: &str, found: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{above}.{name}");
        // The constant that tells variants says everything.
        if !field["description"].is_string() && field["const"].is_null() {
            found.push(path.clone());
        }
        undescribed(field, &path, found);
    }
    if schema["items"].is_object() {
        undescribed(&schema["items"], &format!("{above}[]"), found);
    }
    for several in ["anyOf", "oneOf", "allOf"] {
        for part in schema[several].as_array().into_iter().flatten() {
            undescribed(part, above, found);
        }
    }
}

#[test]
fn what_has_no_schema_is_refused() {
    let dir = Dir::new();
    for verb in [&["nosuch"][..], &["query"], &["console"]] {
        let ran = dir.run(&[&["schema"], verb].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
        eqnice!(
            ran.stderr,
            format!(
                "onecopy: {} is no verb that prints JSON; onecopy schema lists those that do\n",
                verb.join(" ")
            )
        );
    }
}

#[test]
fn a_checker_of_contracts_finds_what_is_wrong() {
    let text = "{ \"removed\": \"web\", \"kernel\": \"K1\" }";
    conforming("partition remove", text);
    for wrong in [
        "{ \"removed\": \"web\" }",
        "{ \"removed\": \"web\", \"kernel\": 1 }",
        "{ \"removed\": \"web\", \"kernel\": \"K1\", \"more\": 1 }",
    ] {
        let checked = std::panic::catch_unwind(|| conforming("partition remove", wrong));
        assert!(checked.is_err(), "{wrong}");
    }
}
