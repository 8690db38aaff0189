// SPDX-License-Identifier: GPL-2.0

//! QMP, the machine protocol of QEMU, over a blocking socket.
//!
//! A command is a type that says its answer's type, see [`Command`]; the ones used are in
//! [`commands`]. Events that arrive in between are kept until somebody asks for them.

mod client;
pub mod commands;
mod socket;
mod wire;

use std::io;
use std::time::Duration;

pub use self::client::Client;
pub use self::client::Pending;
pub use self::commands::Command;
pub use self::wire::Event;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU refused the command.
    #[error("QEMU refused {command}: {description}")]
    Refused {
        /// Name of the command.
        command: &'static str,
        /// QEMU's class of the error, usually `GenericError`.
        class: String,
        /// QEMU's words.
        description: String,
    },
    /// No answer came in time.
    #[error("QEMU did not answer within {} ms: {doing}", .waited.as_millis())]
    Timeout {
        /// What was being waited for.
        doing: String,
        /// For how long.
        waited: Duration,
    },
    /// The monitor was closed, usually because QEMU ended.
    #[error("QEMU closed its monitor: {doing}")]
    Closed {
        /// What was being waited for.
        doing: String,
    },
    /// The answer does not have the form that the command promises.
    #[error("QEMU's message is not understood: {message}")]
    Malformed {
        /// The message.
        message: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The socket failed.
    #[error("Cannot talk to QEMU's monitor")]
    Io(#[source] io::Error),
}
