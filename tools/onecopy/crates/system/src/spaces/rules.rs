// SPDX-License-Identifier: GPL-2.0

//! Who may attach a generation of a segment space: what is kept beside it.
//!
//! There is such a file only beside a restricted generation:
//!
//! ```text
//! format = 1
//! restricted = true
//! allow = ["web", "db"]
//! ```

use onecopy_format::segment_space::Name;
use onecopy_store::Class;
use onecopy_store::Store;
use serde::Deserialize;
use serde::Serialize;

use super::SpaceError;
use crate::definition;
use crate::definition::DefinitionError;
use crate::definition::FORMAT;
use crate::error::Error;
use crate::guests::GuestName;
use crate::restriction;
use crate::text;
use crate::Result;

/// Who may attach a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    format: u32,
    restricted: bool,
    #[serde(default, with = "text::list")]
    allow: Vec<GuestName>,
}

impl Rules {
    /// Makes the rules of what everybody may attach.
    pub fn open() -> Self {
        Self {
            format: FORMAT,
            restricted: false,
            allow: Vec::new(),
        }
    }

    /// Makes the rules of what only these guests may attach.
    pub(super) fn restricted(allow: &[GuestName]) -> Self {
        Self {
            restricted: true,
            allow: allow.to_vec(),
            ..Self::open()
        }
    }

    /// Reads the rules of a generation.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or are not understood.
    pub fn of(store: &Store, space: Name, generation: u64) -> Result<Self> {
        let shelf = store.shelf(space);
        let Some(text) = shelf.attributes(generation)? else {
            return Ok(Self::open());
        };
        Self::parse(&text).map_err(|source| Error::Definition {
            path: shelf.attributes_path(generation),
            source,
        })
    }

    /// Returns the guests that may attach what is restricted.
    pub fn allow(&self) -> &[GuestName] {
        &self.allow
    }

    /// Returns whether only some guests may.
    pub fn is_restricted(&self) -> bool {
        self.restricted
    }

    /// Returns the class of the generation.
    pub fn class(&self, is_current: bool) -> Class {
        Class::of(is_current, self.restricted)
    }

    /// Makes sure that a guest may attach the segment space. One without a name may not.
    ///
    /// # Errors
    ///
    /// When it may not; the error says who may.
    pub fn admit(&self, space: Name, guest: Option<&GuestName>) -> Result<()> {
        if restriction::is_admitted(guest, self.restricted, &self.allow) {
            return Ok(());
        }
        Err(SpaceError::Restricted {
            space,
            guest: guest.cloned(),
            allow: self.allow.clone(),
        }
        .into())
    }

    /// Returns the text.
    pub(super) fn to_text(&self) -> std::result::Result<String, DefinitionError> {
        Ok(toml::to_string(self)?)
    }

    fn parse(text: &str) -> std::result::Result<Self, DefinitionError> {
        let rules: Self = definition::parse(text)?;
        restriction::check(rules.restricted, &rules.allow).map_err(DefinitionError::Content)?;
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_guests_on_the_list_may_attach() {
        let [space, web, db]: [&str; 3] = ["USR", "web", "db"];
        let space = space.parse().unwrap();
        let rules = Rules::restricted(&[web.parse().unwrap(), db.parse().unwrap()]);
        let text = rules.to_text().unwrap();
        assert_eq!(
            text,
            "format = 1\nrestricted = true\nallow = [\"web\", \"db\"]\n"
        );
        let rules = Rules::parse(&text).unwrap();
        let admit = |name: &str| {
            let admitted = rules.admit(space, name.parse().ok().as_ref());
            admitted.map_err(|error| error.to_string())
        };
        assert_eq!(admit("db"), Ok(()));
        assert_eq!(
            admit("Web").unwrap_err(),
            "Guest Web may not attach USR, which is restricted to: web, db"
        );
        assert_eq!(
            admit("").unwrap_err(),
            "USR is restricted to: web, db; the guest needs one of these names"
        );
        assert_eq!(rules.class(true), Class::Restricted);
        assert_eq!(Rules::open().class(true), Class::Available);
        assert!(Rules::open().admit(space, None).is_ok());
    }

    #[test]
    fn damage_lets_nobody_in() {
        for (text, expected) in [
            ("", "line 1, column 1: missing field `format`"),
            ("format = 1\nrestr", "line 2, column 6: "),
            (
                "format = 1\nrestricted = true\n",
                "it is restricted, and has no list",
            ),
            ("format = 2\nrestricted = true\n", "it has format 2, not 1"),
        ] {
            let error = Rules::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
