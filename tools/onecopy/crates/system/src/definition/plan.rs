// SPDX-License-Identifier: GPL-2.0

//! What is saved: as it was defined, as is wished, or as usual.

use std::fs::canonicalize;
use std::path::absolute;
use std::path::Path;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_store::Group;

use super::Definition;
use super::Wishes;
use crate::error::Error;
use crate::ranges;

/// What of the options of a save a definition may decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The kernel.
    pub kernel: PathBuf,
    /// Memory of every guest in bytes.
    pub memory_bytes: u64,
    /// The kernel's part of it, if it is not as usual.
    pub kernel_bytes: Option<u64>,
    /// Its trust group, if it is decided.
    pub group: Option<Group>,
    /// The definition that all this agrees with.
    pub definition: Option<Definition>,
}

impl Plan {
    /// Decides what to save.
    ///
    /// # Errors
    ///
    /// When a wish contradicts the definition, or nothing says which kernel is to be saved.
    pub fn new(name: Name, wishes: &Wishes, definition: Option<Definition>) -> Result<Self, Error> {
        if let Some(definition) = &definition {
            agree(definition, wishes)?;
        }
        let defined = definition.as_ref();
        let kernel = wishes.kernel.as_ref();
        let kernel = kernel.or(defined.and_then(|definition| definition.kernel.as_ref()));
        let usual_bytes = wishes.memory_bytes.unwrap_or(ranges::MEMORY_BYTES);
        Ok(Self {
            kernel: kernel.cloned().ok_or(Error::NoKernel {
                name,
                defined: defined.is_some(),
            })?,
            memory_bytes: defined.map_or(usual_bytes, Definition::memory_bytes),
            kernel_bytes: wishes.kernel_bytes,
            group: wishes
                .group
                .clone()
                .or(defined.and_then(|it| it.group.clone())),
            definition,
        })
    }
}

/// Makes sure that no wish contradicts the definition, and says all that do.
fn agree(definition: &Definition, wishes: &Wishes) -> Result<(), Error> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, defined: String, wished: String| {
        differences.push(format!("{what} {defined}, and not {wished}"));
    };
    if let (Some(defined), Some(wished)) = (&definition.kernel, &wishes.kernel) {
        if !is_same_file(defined, wished) {
            let [defined, wished] = [defined, wished].map(|path| path.display().to_string());
            compare("kernel", defined, wished);
        }
    }
    if let (Some(defined), Some(wished)) = (&definition.group, &wishes.group) {
        if defined != wished {
            compare("trust group", defined.to_string(), wished.to_string());
        }
    }
    let kernel_bytes = ranges::kernel_bytes(&definition.ranges);
    for (what, defined_bytes, wished_bytes) in [
        ("memory", definition.memory_bytes(), wishes.memory_bytes),
        (
            "kernel memory",
            kernel_bytes,
            wishes.kernel_bytes.map(ranges::segments),
        ),
    ] {
        if let Some(wished_bytes) = wished_bytes.filter(|bytes| *bytes != defined_bytes) {
            compare(what, size(defined_bytes), size(wished_bytes));
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::Contradiction {
        name: definition.name,
        differences: differences.join("; with "),
    })
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let same = |find: fn(&Path) -> std::io::Result<PathBuf>| match (find(one), find(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    };
    // A file that is gone still has a name.
    same(|path| canonicalize(path)) || same(|path| absolute(path))
}

/// Writes a size as it is typed.
fn size(bytes: u64) -> String {
    format!("{}M", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::tests::definition;

    fn plan(wishes: &Wishes, definition: Option<Definition>) -> Result<Plan, String> {
        let plan = Plan::new("LX73".parse().unwrap(), wishes, definition);
        plan.map_err(|error| error.to_string())
    }

    fn wishes(kernel: Option<&str>, memory: Option<u64>, kernel_memory: Option<u64>) -> Wishes {
        Wishes {
            group: None,
            kernel: kernel.map(PathBuf::from),
            memory_bytes: memory.map(|mib| mib << 20),
            kernel_bytes: kernel_memory.map(|mib| mib << 20),
        }
    }

    #[test]
    fn what_is_not_wished_is_as_defined_or_as_usual() {
        let usual = plan(&wishes(Some("vmlinux"), None, None), None).unwrap();
        assert_eq!((usual.memory_bytes, usual.kernel_bytes), (512 << 20, None));
        assert_eq!(usual.kernel, Path::new("vmlinux"));
        for wishes in [
            wishes(None, None, None),
            wishes(Some("/boot/vmlinux"), None, None),
            // Both are rounded up to whole segments.
            wishes(Some("/boot/./vmlinux"), Some(512), Some(95)),
        ] {
            let plan = plan(&wishes, Some(definition())).unwrap();
            assert_eq!(plan.kernel, wishes.kernel.unwrap_or("/boot/vmlinux".into()));
            assert_eq!(plan.memory_bytes, 512 << 20);
            assert_eq!(plan.definition, Some(definition()));
        }
    }

    #[test]
    fn a_wish_that_contradicts_the_definition_is_said_with_it() {
        let end = "; define it again, or leave out what contradicts";
        for (wishes, expected) in [
            (
                wishes(Some("/other"), None, None),
                "kernel /boot/vmlinux, and not /other",
            ),
            (wishes(None, Some(1024), None), "memory 512M, and not 1024M"),
            (
                wishes(None, None, Some(97)),
                "kernel memory 96M, and not 98M",
            ),
            (
                wishes(Some("/other"), Some(1024), None),
                "kernel /boot/vmlinux, and not /other; with memory 512M, and not 1024M",
            ),
        ] {
            let error = plan(&wishes, Some(definition())).unwrap_err();
            assert_eq!(error, format!("LX73 was defined with {expected}{end}"));
        }
    }

    #[test]
    fn a_kernel_must_be_known() {
        assert_eq!(
            plan(&wishes(None, None, None), None).unwrap_err(),
            "Nothing says which kernel LX73 has: it was not defined; --kernel does"
        );
        let mut definition = definition();
        definition.kernel = None;
        assert_eq!(
            plan(&wishes(None, None, None), Some(definition)).unwrap_err(),
            "Nothing says which kernel LX73 has: it was defined without; --kernel does"
        );
    }
}
