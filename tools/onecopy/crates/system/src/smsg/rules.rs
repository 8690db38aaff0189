// SPDX-License-Identifier: GPL-2.0

//! Who may send what to whom: a file in TOML.
//!
//! Who can open a guest's socket can send it anything; that is what permissions of files are for. The
//! rules narrow down what is done in which name, for instance by programs and by users to whom only
//! one command is open.

use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

use onecopy_directory::Directory;
use onecopy_directory::Misplaced;
use onecopy_store::Kind;
use serde::Deserialize;
use toml::Spanned;

use super::message::Message;
use super::message::Sender;
use crate::guests::GuestName;
use crate::guests::Pattern;

/// Stands for all senders.
const ANYBODY: &str = "*";

/// The rules: all is allowed without a file, and with one only what a rule of it allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules(Option<Vec<Rule>>);

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// The sender; nothing stands for all.
    sender: Option<Sender>,
    /// The guests.
    to: Vec<Pattern>,
    /// First words of messages; nothing stands for all.
    text: Option<Vec<String>>,
}

/// No rule allows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} may not send {} messages to guest {}: no rule in {} allows it", .sender, .prefix, .guest, .path.display())]
pub struct Denied {
    sender: Sender,
    prefix: String,
    guest: GuestName,
    path: PathBuf,
}

/// Rules that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// They cannot be read. A link is not followed: one that leads nowhere would allow everything.
    #[error(transparent)]
    Read(#[from] onecopy_directory::Error),
    /// The file is not TOML, or something in it is not what is expected.
    #[error("{}:{}:{}: {}", .path.display(), .mistake.line, .mistake.column, .mistake.message)]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong in it, and where.
        mistake: Misplaced,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    allow: Vec<WrittenRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    sender: Spanned<String>,
    to: Vec<Spanned<String>>,
    text: Option<Vec<Spanned<String>>>,
}

/// Something wrong at a place of the text, in bytes.
type Complaint = (Range<usize>, String);

impl RulesError {
    /// Returns what kind of failure it is; nothing if what the file says is not understood.
    pub fn kind(&self) -> Option<Kind> {
        use onecopy_directory::Error;

        match self {
            Self::Form { .. } => None,
            // Something else than a file, or no text.
            Self::Read(Error::Io { source, .. }) if source.kind() == io::ErrorKind::InvalidData => {
                Some(Kind::Damaged)
            }
            Self::Read(error) => Some(error.into()),
        }
    }
}

impl Rules {
    /// Reads the rules, if there is such a file.
    ///
    /// # Errors
    ///
    /// When it is a link or no file, cannot be read, or says something wrong; then the place is in the error.
    pub fn read(path: &Path) -> Result<Self, RulesError> {
        let Some(text) = text_of(path)? else {
            return Ok(Self(None));
        };
        parse(&text).map_err(|mistake| RulesError::Form {
            path: path.to_owned(),
            mistake,
        })
    }

    /// Makes sure that a message may be sent. `path` is where the rules are from.
    ///
    /// # Errors
    ///
    /// When no rule allows it.
    pub fn check(
        &self,
        sender: &Sender,
        guest: &GuestName,
        message: &Message,
        path: &Path,
    ) -> Result<(), Denied> {
        let Some(rules) = &self.0 else {
            return Ok(());
        };
        let prefix = message.prefix();
        if rules
            .iter()
            .any(|rule| rule.allows(sender, guest.as_str(), prefix))
        {
            return Ok(());
        }
        Err(Denied {
            sender: sender.clone(),
            prefix: prefix.to_owned(),
            guest: guest.clone(),
            path: path.to_owned(),
        })
    }
}

impl Rule {
    fn allows(&self, sender: &Sender, guest: &str, prefix: &str) -> bool {
        let by = self.sender.as_ref().is_none_or(|only| only == sender);
        let to = self.to.iter().any(|pattern| pattern.fits(guest));
        let is_it = |word: &String| word.eq_ignore_ascii_case(prefix);
        by && to
            && self
                .text
                .as_ref()
                .is_none_or(|words| words.iter().any(is_it))
    }
}

/// Returns what is in a file; nothing if there is none.
fn text_of(path: &Path) -> Result<Option<String>, onecopy_directory::Error> {
    let name = path.file_name().and_then(OsStr::to_str);
    let name = name.ok_or_else(|| onecopy_directory::Error::Io {
        doing: "read",
        path: path.to_owned(),
        source: io::ErrorKind::InvalidInput.into(),
    })?;
    // A name alone is one in the working directory.
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    match Directory::open(above.unwrap_or(Path::new(".")))? {
        Some(directory) => directory.read(name),
        None => Ok(None),
    }
}

fn parse(text: &str) -> Result<Rules, Misplaced> {
    let written: Written = toml::from_str(text).map_err(|error| Misplaced::of(&error, text))?;
    let rules = written.allow.into_iter().map(WrittenRule::rule);
    let rules = rules.collect::<Result<_, _>>();
    let rules = rules.map_err(|(span, message)| Misplaced::at(span.start, text, message))?;
    Ok(Rules(Some(rules)))
}

impl WrittenRule {
    fn rule(self) -> Result<Rule, Complaint> {
        let sender = match &**self.sender.as_ref() {
            ANYBODY => None,
            _ => Some(placed(&self.sender)?),
        };
        Ok(Rule {
            sender,
            to: self.to.iter().map(placed).collect::<Result<_, _>>()?,
            text: self
                .text
                .map(|words| words.iter().map(word).collect())
                .transpose()?,
        })
    }
}

/// Understands a value, and says where it is if it cannot be understood.
fn placed<T: FromStr<Err: ToString>>(value: &Spanned<String>) -> Result<T, Complaint> {
    let parsed = value.as_ref().parse();
    parsed.map_err(|error: T::Err| (value.span(), error.to_string()))
}

fn word(value: &Spanned<String>) -> Result<String, Complaint> {
    let word = value.as_ref();
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(word.clone());
    }
    let message = format!("{word:?} is not the first word of a message");
    Err((value.span(), message))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn allowed(rules: &Rules, sender: &str, guest: &str, text: &str) -> bool {
        let (sender, guest) = (sender.parse().unwrap(), guest.parse().unwrap());
        let message = text.parse().unwrap();
        rules
            .check(&sender, &guest, &message, Path::new("smsg.toml"))
            .is_ok()
    }

    #[test]
    fn without_rules_all_is_allowed_and_with_none_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("smsg.toml");
        let rules = Rules::read(&path).unwrap();
        assert!(allowed(&rules, "X", "web", "CMM SHRINK 1"));
        fs::write(&path, "").unwrap();
        let rules = Rules::read(&path).unwrap();
        assert!(!allowed(&rules, "X", "web", "CMM SHRINK 1"));
    }

    #[test]
    fn a_rule_says_who_what_and_to_whom() {
        let rules = parse(
            "[[allow]]\nsender = \"vmrmsvm\"\nto = [\"web-*\", \"db\"]\ntext = [\"cmm\"]\n\
             [[allow]]\nsender = \"*\"\nto = [\"test\"]\n",
        )
        .unwrap();
        for (sender, guest, text, expected) in [
            ("VMRMSVM", "web-1", "CMM SHRINK 1", true),
            ("VMRMSVM", "db", " Cmm SHRINK 1", true),
            ("VMRMSVM", "web-1", "DCSS ATTACH A", false),
            ("VMRMSVM", "web-1", "CMMX", false),
            ("VMRMSVM", "mail", "CMM SHRINK 1", false),
            ("OTHER", "db", "CMM SHRINK 1", false),
            ("OTHER", "test", "DCSS ATTACH A", true),
        ] {
            let found = allowed(&rules, sender, guest, text);
            assert_eq!(found, expected, "{sender} {guest} {text}");
        }
    }

    #[test]
    fn complaints_name_the_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("smsg.toml");
        for (text, expected) in [
            ("[[allow]\n", ":1:"),
            ("[[allow]]\nto = [\"a\"]\n", ":1:1: missing field `sender`"),
            (
                "[[allow]]\nsender = \"A\"\nto = [\"b\"]\nfrom = 1\n",
                ":4:1: unknown field `from`",
            ),
            (
                "[[allow]]\nsender = \"A B\"\nto = [\"b\"]\n",
                ":2:10: \"A B\" is not the name of a sender",
            ),
            (
                "[[allow]]\nsender = \"A\"\nto = [\"b\", \"c d\"]\n",
                ":3:12: \"c d\" is not a name or pattern",
            ),
            (
                "[[allow]]\nsender = \"A\"\nto = [\"b\"]\ntext = [\"C D\"]\n",
                ":4:9: \"C D\" is not the first word",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let found = Rules::read(&path).unwrap_err().to_string();
            let place = found.strip_prefix(path.to_str().unwrap()).unwrap();
            assert!(place.starts_with(expected), "{text:?}: {found}");
        }
        fs::write(&path, b"\xff").unwrap();
        assert!(matches!(Rules::read(&path), Err(RulesError::Read(_))));
    }
}
