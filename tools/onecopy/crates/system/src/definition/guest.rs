// SPDX-License-Identifier: GPL-2.0

//! Whether a guest that runs is what was defined: its kernel and its memory are what they are.

use super::Definition;
use crate::error::Error;
use crate::guests::GuestName;
use crate::kernel::Kernel;
use crate::manifest::Manifest;
use crate::manifest::SavedKernel;
use crate::ranges::notation;

impl Definition {
    /// Makes sure that a guest can be saved as it was defined, by the system that it was started from.
    ///
    /// # Errors
    ///
    /// When it has other ranges or another kernel, with all that differs, or the kernel that was defined
    /// cannot be read.
    pub(crate) fn check_guest(&self, guest: &GuestName, system: &Manifest) -> Result<(), Error> {
        let mut differences = Vec::new();
        let [defined, found] = [&self.ranges, &system.ranges].map(|ranges| notation::show(ranges));
        if defined != found {
            differences.push(format!("ranges {defined}, and not {found}"));
        }
        if let Some(group) = self.group.as_ref().filter(|group| **group != system.group) {
            differences.push(format!("trust group {group}, and not {}", system.group));
        }
        if let Some(path) = &self.kernel {
            if !is_same(&Kernel::read(path)?, &system.kernel) {
                differences.push(format!("kernel {}, and not the guest's", path.display()));
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::OtherGuest {
            name: self.name,
            guest: guest.clone(),
            differences: differences.join("; with "),
        })
    }
}

fn is_same(kernel: &Kernel, saved: &SavedKernel) -> bool {
    let Kernel { layout, build_id } = kernel;
    (layout.image_end, layout.gate, build_id) == (saved.image_end, saved.gate, &saved.build_id)
}

#[cfg(test)]
mod tests {
    use onecopy_format::saved_kernel::Layout;

    use super::*;
    use crate::definition::tests::definition;
    use crate::manifest::tests::manifest;

    fn check(definition: &Definition, system: &Manifest) -> Result<(), String> {
        let guest = "web".parse().unwrap();
        let result = definition.check_guest(&guest, system);
        result.map_err(|error| error.to_string())
    }

    #[test]
    fn a_guest_has_the_ranges_that_were_defined() {
        let (mut definition, mut system) = (definition(), manifest());
        definition.kernel = None;
        assert_eq!(
            check(&definition, &system),
            Err(
                "LX73 was defined with ranges 0-FFF EW 1000-17FF SR 1800-5FFF EW 6000-1FDFF EN \
                 1FE00-1FFFF EW, and not 0-1FF EW 200-3FF SR 400-7FF EN; define it again, or save \
                 guest web under another name"
                    .to_owned()
            )
        );
        system.ranges.clone_from(&definition.ranges);
        assert_eq!(check(&definition, &system), Ok(()));
    }

    #[test]
    fn a_kernel_that_cannot_be_read_is_not_the_guests() {
        let (mut definition, system) = (definition(), manifest());
        definition.kernel = Some("/nosuch".into());
        assert_eq!(
            check(&definition, &system),
            Err("Cannot read /nosuch".to_owned())
        );
    }

    #[test]
    fn a_kernel_is_known_by_its_build_and_its_layout() {
        let saved = manifest().kernel;
        let kernel = |build_id: Option<&str>, gate| Kernel {
            layout: Layout {
                shared_start: 0,
                shared_end: 0,
                image_end: saved.image_end,
                gate,
                can_protect: false,
            },
            build_id: build_id.map(str::to_owned),
        };
        assert!(is_same(&kernel(None, saved.gate), &saved));
        assert!(!is_same(&kernel(Some("ab"), saved.gate), &saved));
        assert!(!is_same(&kernel(None, saved.gate + 64), &saved));
    }
}
