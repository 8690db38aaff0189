// SPDX-License-Identifier: GPL-2.0

//! What is saved as a segment space: as it was defined, or as is wished.

use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_store::MemberContent;
use onecopy_store::MemberSource;

use super::DefinedMember;
use super::SpaceDefinition;
use crate::error::Error;
use crate::Result;

/// Content that was given for a segment space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceWishes {
    /// The content of each member that was named.
    pub members: Vec<(Name, MemberContent)>,
    /// The type of all of them.
    pub kind: Option<SegmentType>,
}

impl SpaceWishes {
    /// Returns the members of a segment space that was not defined: they are of type SR unless something
    /// else is wished.
    pub fn sources(self) -> Vec<MemberSource> {
        let kind = self.kind.unwrap_or(SegmentType::Sr);
        let source = |(name, content)| MemberSource {
            name,
            kind,
            content,
        };
        self.members.into_iter().map(source).collect()
    }

    /// Returns the content that was given for a member.
    pub fn content_of(&self, member: Name) -> Option<&MemberContent> {
        let mut given = self.members.iter();
        let (_, content) = given.find(|(name, _)| *name == member)?;
        Some(content)
    }

    /// Returns the members of a segment space that was defined.
    ///
    /// # Errors
    ///
    /// When something that was given contradicts the definition, with all that does.
    pub fn sources_of(self, definition: &SpaceDefinition) -> Result<Vec<MemberSource>> {
        let mut differences = Vec::new();
        for (name, _) in &self.members {
            if !definition.members.iter().any(|member| member.name == *name) {
                differences.push(format!("no member {name}"));
            }
        }
        let mut sources = Vec::new();
        for member in &definition.members {
            let (name, kind) = (member.name, member.kind);
            if let Some(wished) = self.kind.filter(|wished| *wished != kind && kind.saved()) {
                differences.push(format!("member {name} of type {kind}, and not {wished}"));
            }
            match self.content_for(member) {
                Ok(content) => sources.push(MemberSource {
                    name,
                    kind,
                    content,
                }),
                Err(difference) => differences.push(difference),
            }
        }
        if differences.is_empty() {
            return Ok(sources);
        }
        Err(Error::Contradiction {
            name: definition.name,
            differences: differences.join("; with "),
        })
    }

    fn content_for(&self, member: &DefinedMember) -> std::result::Result<MemberContent, String> {
        let (name, kind) = (member.name, member.kind);
        let mut given = self.members.iter().filter(|(given, _)| *given == name);
        match (given.next(), given.next(), kind.saved()) {
            (Some(_), Some(_), _) => Err(format!("one member {name}, and not two")),
            (Some((_, content)), None, true) => Ok(content.clone()),
            (None, _, false) => Ok(MemberContent::Nothing {
                size_bytes: member.size_bytes.unwrap_or_default(),
            }),
            (None, _, true) => Err(format!("member {name}, and nothing is given for it")),
            (Some(_), None, false) => Err(format!("member {name} of type {kind}, without content")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::definition::tests::definition;
    use super::super::definition::tests::member;
    use super::*;

    fn wishes(names: &[&str], kind: Option<SegmentType>) -> SpaceWishes {
        let content = |name: &&str| {
            let content = MemberContent::Image(format!("/{name}").into());
            (name.parse().unwrap(), content)
        };
        SpaceWishes {
            members: names.iter().map(content).collect(),
            kind,
        }
    }

    #[test]
    fn what_was_defined_is_saved_in_its_order_and_what_contradicts_is_refused() {
        let members = [
            member("PY", "SR", Some(64)),
            member("GCC", "EW", None),
            member("HEAP", "EN", Some(2)),
        ];
        let definition = definition(&members).unwrap();
        let sources = wishes(&["GCC", "PY"], None)
            .sources_of(&definition)
            .unwrap();
        let names: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["PY", "GCC", "HEAP"]);
        assert_eq!(sources[1].kind, SegmentType::Ew);
        assert_eq!(
            sources[2].content,
            MemberContent::Nothing {
                size_bytes: 2 << 20
            }
        );

        for (names, kind, expected) in [
            (&["PY"][..], None, "member GCC, and nothing is given for it"),
            (&["PY", "GCC", "LD"], None, "no member LD"),
            (&["PY", "GCC", "PY"], None, "one member PY, and not two"),
            (
                &["PY", "GCC", "HEAP"],
                None,
                "member HEAP of type EN, without content",
            ),
            (
                &["PY", "GCC"],
                Some(SegmentType::Ew),
                "member PY of type SR, and not EW",
            ),
            (
                &["X"],
                None,
                "no member X; with member PY, and nothing is given for it; with member GCC, and \
                 nothing is given for it",
            ),
        ] {
            let error = wishes(names, kind).sources_of(&definition).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "TOOLS was defined with {expected}; define it again, or leave out what contradicts"
                )
            );
        }
    }
}
