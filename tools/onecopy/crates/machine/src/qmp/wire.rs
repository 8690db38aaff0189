// SPDX-License-Identifier: GPL-2.0

//! The messages as they travel: one JSON object per line.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

/// A command on its way to QEMU.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a, C> {
    pub(super) execute: &'static str,
    pub(super) arguments: &'a C,
    pub(super) id: u64,
}

/// Something that happened in QEMU without being asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// Name, for example `SHUTDOWN`.
    #[serde(rename = "event")]
    pub name: String,
    /// Details; null when there are none.
    #[serde(default)]
    pub data: Value,
}

/// QEMU's refusal of a command.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Refusal {
    pub(super) class: String,
    #[serde(rename = "desc")]
    pub(super) description: String,
}

/// Any message from QEMU.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Message {
    Greeting {
        #[serde(rename = "QMP")]
        _qmp: Value,
    },
    Event(Event),
    Refused {
        error: Refusal,
        id: Option<u64>,
    },
    Done {
        #[serde(rename = "return")]
        value: Value,
        id: Option<u64>,
    },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let parse = |text: &str| serde_json::from_str::<Message>(text).unwrap();
        assert!(matches!(
            parse(r#"{"QMP": {"capabilities": []}}"#),
            Message::Greeting { .. }
        ));
        assert_eq!(
            parse(r#"{"return": {}, "id": 7}"#),
            Message::Done {
                value: json!({}),
                id: Some(7)
            }
        );
        assert_eq!(
            parse(r#"{"timestamp": {"seconds": 1}, "event": "STOP"}"#),
            Message::Event(Event {
                name: "STOP".to_owned(),
                data: Value::Null
            })
        );
        assert!(matches!(
            parse(r#"{"error": {"class": "GenericError", "desc": "no"}, "id": 1}"#),
            Message::Refused { id: Some(1), .. }
        ));
    }
}
