// SPDX-License-Identifier: GPL-2.0

//! What a test case has at hand.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;

use anyhow::anyhow;
use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::balloon;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::space::SpaceFile;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Host;
use onecopy_boot::Kernel;
use onecopy_boot::Options;
use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_store::MemberContent;
use onecopy_store::MemberSource;
use onecopy_store::SpaceBuilder;
use onecopy_store::Store;
use tempfile::TempDir;

use crate::attempts::Attempts;
use crate::cases::Evidence;
use crate::cases::LIVEPATCH;
use crate::cases::TRAMPOLINE;

/// The segment of [`Context::programs`].
pub(crate) const PROGRAMS: &str = "ROOT";

/// The file in it that is large enough for large pages, and its size in bytes.
pub(crate) const LARGE_FILE: &str = "data/large";
pub(crate) const LARGE_BYTES: u64 = 16 * MIB;

/// The segment of [`Context::stress`], and where `make stress` puts what is in it.
pub(crate) const STRESS: &str = "STRESS";
const STRESS_TREE: &str = "build/root/stress";

/// A kernel, and what guests on it need.
#[derive(Debug)]
pub(crate) struct Context {
    host: Host,
    kernel: Kernel,
    attempts: Arc<Attempts>,
    directory: TempDir,
    programs: Shared<SpaceFile>,
    bad_directories: Shared<Evidence>,
    stress: Shared<SpaceFile>,
    saved: Shared<SavedSystem>,
    protected: Shared<SavedSystem>,
}

/// What the first case that needs it makes for all.
type Shared<T> = OnceLock<std::result::Result<T, String>>;

impl Context {
    /// Makes the context of tests that may be begun again.
    pub(crate) fn new(host: Host, kernel: Kernel, attempts: Arc<Attempts>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("onecopy-boot-").tempdir()?;
        Ok(Self {
            host,
            kernel,
            attempts,
            directory,
            programs: OnceLock::new(),
            bad_directories: OnceLock::new(),
            stress: OnceLock::new(),
            saved: OnceLock::new(),
            protected: OnceLock::new(),
        })
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Makes a directory for the files of one test case.
    pub(crate) fn directory(&self) -> Result<TempDir> {
        Ok(TempDir::new_in(self.directory.path())?)
    }

    /// Starts a guest.
    ///
    /// Where the driver is a module, the boot parameter has no effect; [`Self::guest`] loads it.
    pub(crate) fn start(&self, options: &Options) -> Result<Guest> {
        Guest::start(&self.host, &self.kernel, options)
    }

    /// Starts a guest, lets `body` use it, and switches it off.
    ///
    /// Fails if the guest's kernel has complained or, where it watches that, lost memory
    /// ([`Options::watch_leaks`]). Every failure shows the end of the console.
    pub(crate) fn guest(
        &self,
        options: &Options,
        body: impl FnOnce(&mut Guest) -> Result<()>,
    ) -> Result<()> {
        self.running_guest(options, body)?.finish().map(drop)
    }

    /// Like [`Self::guest`], for one that cannot switch itself off: it still runs afterwards.
    pub(crate) fn running_guest(
        &self,
        options: &Options,
        body: impl FnOnce(&mut Guest) -> Result<()>,
    ) -> Result<Guest> {
        let mut guest = self.start(options)?;
        let leaks = options.watch_leaks && self.kernel.has("DEBUG_KMEMLEAK");
        let result = body(&mut guest).and_then(|()| guest.check(leaks));
        result.map_err(|error| guest.failure(error))?;
        Ok(guest)
    }

    /// Returns a segment space with one segment: an EROFS image from which a guest can boot.
    ///
    /// All test cases share it.
    pub(crate) fn programs(&self) -> Result<SpaceFile> {
        let made = self
            .programs
            .get_or_init(|| self.make_programs().map_err(|e| format!("{e:#}")));
        made.clone().map_err(|error| anyhow!(error))
    }

    /// Returns a segment space with one segment: an EROFS image with stress-ng and its libraries.
    ///
    /// All test cases share it.
    pub(crate) fn stress(&self) -> Result<SpaceFile> {
        let made = self
            .stress
            .get_or_init(|| self.make_stress().map_err(|e| format!("{e:#}")));
        made.clone().map_err(|error| anyhow!(error))
    }

    /// Returns a saved system with our program and the balloon's driver.
    ///
    /// All test cases share it.
    pub(crate) fn saved(&self) -> Result<&SavedSystem> {
        self.saved_in(&self.saved, false)
    }

    /// Returns one whose guests cannot change their text.
    ///
    /// All test cases share it.
    pub(crate) fn protected(&self) -> Result<&SavedSystem> {
        self.saved_in(&self.protected, true)
    }

    fn saved_in<'a>(
        &self,
        place: &'a Shared<SavedSystem>,
        protect: bool,
    ) -> Result<&'a SavedSystem> {
        let save = || {
            let mut modules = vec![TRAMPOLINE.to_owned()];
            if self.kernel.has("LIVEPATCH") {
                modules.push(LIVEPATCH.to_owned());
            }
            if !self.kernel.has("VIRTIO_CMM") {
                modules.push(balloon::CMM.to_owned());
            }
            let directory = tempfile::Builder::new().tempdir_in(&self.directory)?.keep();
            SavedSystem::save(&directory, &self.host, &self.kernel, &modules, protect)
        };
        let made = place.get_or_init(|| {
            let saved = self.attempts.run("the template", save);
            saved.map_err(|error| format!("{error:#}"))
        });
        made.as_ref().map_err(|error| anyhow!(error.clone()))
    }

    pub(crate) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Returns what a guest with bad segment spaces has said; `gather` asks one.
    pub(crate) fn bad_directories(
        &self,
        gather: impl Fn() -> Result<Evidence>,
    ) -> Result<Evidence> {
        let gathered = self.bad_directories.get_or_init(|| {
            let gathered = self.attempts.run("the guest with bad directories", gather);
            gathered.map_err(|error| format!("{error:#}"))
        });
        gathered.clone().map_err(|error| anyhow!(error))
    }

    fn make_programs(&self) -> Result<SpaceFile> {
        let root = self.directory.path().join("root");
        for directory in ["bin", "sbin", "data", "dev", "proc", "sys", "tmp", "mnt"] {
            fs::create_dir_all(root.join(directory))?;
        }
        self.copy_program(&root.join("sbin/init"))?;
        self.copy_program(&root.join("bin/tool"))?;
        let large: Vec<u8> = (0..LARGE_BYTES / 8).flat_map(u64::to_le_bytes).collect();
        fs::write(root.join(LARGE_FILE), large)?;
        fs::write(root.join("data/small"), "small\n")?;

        self.save("PROGRAMS", PROGRAMS, root)
    }

    fn make_stress(&self) -> Result<SpaceFile> {
        let tree = Path::new(STRESS_TREE);
        ensure!(
            tree.exists(),
            "{STRESS_TREE} is missing: run \"make stress\", and the tests from the top of the tree"
        );
        self.save("STRESS", STRESS, tree.to_owned())
    }

    fn save(&self, space: &str, segment: &str, root: PathBuf) -> Result<SpaceFile> {
        let member = MemberSource {
            name: Name::new(segment.as_bytes())?,
            kind: SegmentType::Sr,
            content: MemberContent::Directory(root),
        };
        let store = Store::open(self.directory.path().join("store"));
        let builder = SpaceBuilder::new(Name::new(space.as_bytes())?).member(member);
        let space = builder.save(&store, &mut |_| ())?;
        Ok(SpaceFile {
            path: space.path().to_owned(),
            size_bytes: space.size_bytes(),
            members: space.members().to_vec(),
        })
    }

    fn copy_program(&self, to: &Path) -> Result<PathBuf> {
        fs::copy(&self.host.program, to).with_context(|| format!("copy to {}", to.display()))?;
        Ok(to.to_owned())
    }
}
