// SPDX-License-Identifier: GPL-2.0

//! What makes a guest different from all others that were started from the same generation.

use std::fmt::Write;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use onecopy_format::resources;
use onecopy_format::resources::Resources;
use rustix::rand::getrandom;
use rustix::rand::GetRandomFlags;

use crate::content::hexadecimal;
use crate::error::Error;
use crate::guests::GuestName;
use crate::manifest::Manifest;
use crate::Result;

/// What the user decides about a guest's identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceOptions {
    /// The host name; the guest's name if it is missing.
    pub hostname: Option<String>,
    /// The machine-id, 32 hexadecimal digits; a random one if it is missing.
    pub machine_id: Option<String>,
    /// What is added to the command line that user space sees; behind `=`, what replaces it.
    pub parm: Option<String>,
    /// Other keys and values.
    pub others: Vec<(String, String)>,
}

/// What is new with every guest.
#[derive(Debug, Clone, Copy)]
struct Fresh {
    seed: [u8; resources::SEED_BYTES],
    machine_id: [u8; 16],
    time_ns: u128,
}

impl ResourceOptions {
    /// Writes the resources of a guest to a file that only we can read: they hold its seed.
    pub(crate) fn write(&self, path: &Path, guest: &GuestName, generation: u64) -> Result<()> {
        let fresh = Fresh::new().map_err(Error::io("get random numbers for", path))?;
        let text = self.text(guest, generation, fresh)?;
        let write = || {
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(text.as_bytes())
        };
        write().map_err(Error::io("write", path))
    }

    /// Makes sure that a guest will understand them; one without a name yet gets another one for that.
    pub(crate) fn check(&self, guest: Option<&GuestName>, manifest: &Manifest) -> Result<()> {
        let other = GuestName::numbered(manifest.name, 1);
        let fresh = Fresh {
            seed: [0; resources::SEED_BYTES],
            machine_id: [1; 16],
            time_ns: 0,
        };
        self.text(guest.unwrap_or(&other), manifest.generation, fresh)?;
        Ok(())
    }

    /// Returns the text, checked as the guest will check it.
    fn text(&self, guest: &GuestName, generation: u64, fresh: Fresh) -> Result<String> {
        let machine_id = self
            .machine_id
            .clone()
            .unwrap_or_else(|| hexadecimal(&fresh.machine_id));
        let mut pairs = vec![
            (resources::GUEST, guest.to_string()),
            (resources::GENERATION, generation.to_string()),
            (resources::SEED, hexadecimal(&fresh.seed)),
            (resources::TIME_NS, fresh.time_ns.to_string()),
            (resources::MACHINE_ID, machine_id),
        ];
        let optional = [
            (resources::HOSTNAME, &self.hostname),
            (resources::PARM, &self.parm),
        ];
        pairs.extend(
            optional
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.clone()?))),
        );
        let others = self.others.iter();
        pairs.extend(others.map(|(key, value)| (key.as_str(), value.clone())));

        let mut text = format!("{}\n", resources::MAGIC);
        for (key, value) in pairs {
            // A value with an end of line would be another key.
            if !resources::is_key(key) || !resources::is_value(&value) {
                return Err(Error::Resources(resources::ResourceError::Line(
                    text.lines().count() + 1,
                )));
            }
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key}={value}");
        }
        let parsed = Resources::parse(text.as_bytes()).map_err(Error::Resources)?;
        parsed.machine_id().map_err(Error::Resources)?;
        Ok(text)
    }
}

impl Fresh {
    fn new() -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut seed = [0; resources::SEED_BYTES];
        random(&mut seed)?;
        Ok(Self {
            seed,
            machine_id: draw_machine_id()?,
            time_ns: now.unwrap_or_default().as_nanos(),
        })
    }
}

/// Draws a machine-id, 32 hexadecimal digits.
///
/// # Errors
///
/// When the kernel gives no random numbers.
pub fn random_machine_id() -> io::Result<String> {
    Ok(hexadecimal(&draw_machine_id()?))
}

fn draw_machine_id() -> io::Result<[u8; 16]> {
    let mut machine_id = [0; 16];
    random(&mut machine_id)?;
    // As uuid(7) makes random ones: version 4 of the variant of RFC 9562.
    machine_id[6] = machine_id[6] & 0x0f | 0x40;
    machine_id[8] = machine_id[8] & 0x3f | 0x80;
    Ok(machine_id)
}

/// Fills a buffer of at most 256 bytes, for which one call suffices.
pub(crate) fn random(buffer: &mut [u8]) -> io::Result<()> {
    let count = getrandom(&mut *buffer, GetRandomFlags::empty())?;
    if count == buffer.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn options() -> ResourceOptions {
        ResourceOptions {
            hostname: Some("web".to_owned()),
            machine_id: None,
            parm: Some("a=b c".to_owned()),
            others: vec![("role".to_owned(), "x = y".to_owned())],
        }
    }

    fn written(options: &ResourceOptions) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resources");
        options.write(&path, &"lx1".parse().unwrap(), 7).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_guest_understands_what_is_written() {
        let text = written(&options());
        let resources = Resources::parse(text.as_bytes()).unwrap();
        for (key, value) in [
            ("guest", "lx1"),
            ("generation", "7"),
            ("hostname", "web"),
            ("parm", "a=b c"),
            ("role", "x = y"),
        ] {
            assert_eq!(resources.get(key), Some(value));
        }
        assert!(resources.time_ns().unwrap() > 1_700_000_000_000_000_000);
        resources.machine_id().unwrap();
        resources.seed().unwrap();
    }

    #[test]
    fn no_two_guests_have_the_same_secrets() {
        let texts = [written(&options()), written(&options())];
        let [one, other] = texts
            .each_ref()
            .map(|text| Resources::parse(text.as_bytes()).unwrap());
        assert_ne!(one.seed().unwrap(), other.seed().unwrap());
        assert_ne!(one.machine_id().unwrap(), other.machine_id().unwrap());
    }

    #[test]
    fn what_the_guest_would_refuse_is_refused_here() {
        let guest = "lx1".parse().unwrap();
        let others = |key: &str, value: &str| ResourceOptions {
            others: vec![(key.to_owned(), value.to_owned())],
            ..options()
        };
        let machine_id = ResourceOptions {
            machine_id: Some("X".to_owned()),
            ..options()
        };
        for (options, expected) in [
            (others("Key", "x"), "line 9 is not KEY=VALUE"),
            (others("a", "x\nseed=1"), "line 9 is not KEY=VALUE"),
            (
                others("seed", "x"),
                "line 9 has a key that was there before",
            ),
            (machine_id, "there is no valid machine_id"),
        ] {
            let error = options.text(&guest, 1, Fresh::new().unwrap()).unwrap_err();
            let expected = format!("The resources of the guest are not valid: {expected}");
            assert_eq!(error.to_string(), expected);
        }
    }
}
