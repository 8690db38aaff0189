// SPDX-License-Identifier: GPL-2.0

//! A kernel as kbuild leaves it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

/// How the driver for segments is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Into the kernel.
    BuiltIn,
    /// As a module.
    Module,
    /// Not at all.
    Absent,
}

/// A kernel with its configuration and modules.
#[derive(Debug, Clone)]
pub struct Kernel {
    directory: PathBuf,
    config: String,
    modules: BTreeMap<String, PathBuf>,
}

impl Kernel {
    /// Opens the directory that a kernel was built in.
    ///
    /// # Errors
    ///
    /// When there is no kernel; the error says which file is missing.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(".config");
        let config =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut kernel = Self {
            directory: directory.to_owned(),
            config,
            modules: BTreeMap::new(),
        };
        if !kernel.image().is_file() {
            bail!(
                "{} is not there: the kernel was not built",
                kernel.image().display()
            );
        }
        let installed = directory.join("modules");
        let modules = if installed.is_dir() {
            installed
        } else {
            directory.to_owned()
        };
        find_modules(&modules, &mut kernel.modules)
            .with_context(|| format!("cannot search {}", modules.display()))?;
        Ok(kernel)
    }

    /// Returns what the kernel is called in messages: the name of its directory.
    pub fn label(&self) -> String {
        let name = self
            .directory
            .file_name()
            .unwrap_or(self.directory.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Returns the directory that it was built in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the file to boot.
    pub fn image(&self) -> PathBuf {
        self.directory.join("arch/x86/boot/bzImage")
    }

    /// Whether an option is set to `y`, named without `CONFIG_`.
    pub fn has(&self, option: &str) -> bool {
        self.config
            .lines()
            .any(|line| line == format!("CONFIG_{option}=y"))
    }

    /// Returns how the driver for segments is built.
    pub fn driver(&self) -> Driver {
        if self.has("BLK_DEV_DCSS") {
            Driver::BuiltIn
        } else if self.modules.contains_key("dcss") {
            Driver::Module
        } else {
            Driver::Absent
        }
    }

    /// Whether the kernel checks itself, and is slower for it.
    pub fn is_debug(&self) -> bool {
        self.has("KASAN")
    }

    /// Returns how much longer a guest with this kernel may take for everything.
    pub fn factor(&self) -> u32 {
        if self.is_debug() {
            5
        } else {
            1
        }
    }

    /// Returns what the kernel needs on its command line because of its configuration.
    ///
    /// While a kernel identifies its first processor, it forgets for a moment that this one has five
    /// levels of page tables. To KASAN all addresses are wild then, and an interrupt that comes just
    /// in that moment makes it say so.
    pub fn parameters(&self) -> &'static str {
        if self.has("KASAN") {
            "no5lvl"
        } else {
            ""
        }
    }

    /// Returns a module with all that it needs, in the order in which to load them.
    ///
    /// # Errors
    ///
    /// When one of them was not built.
    pub fn module_with_dependencies(&self, name: &str) -> Result<Vec<PathBuf>> {
        let mut order = Vec::new();
        self.add_module(name, &mut order)?;
        Ok(order)
    }

    fn add_module(&self, name: &str, order: &mut Vec<PathBuf>) -> Result<()> {
        let path = self
            .modules
            .get(&name.replace('-', "_"))
            .with_context(|| format!("{} has no module {name}", self.directory.display()))?;
        if order.contains(path) {
            return Ok(());
        }
        let module = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        for dependency in dependencies(&module) {
            self.add_module(&dependency, order)?;
        }
        order.push(path.clone());
        Ok(())
    }
}

fn find_modules(directory: &Path, found: &mut BTreeMap<String, PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        // Symbolic links lead to the sources.
        if entry.file_type()?.is_dir() {
            find_modules(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            found.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// Returns the modules that a module needs, from its `.modinfo` section: NUL-terminated strings, one
/// of which is `depends=A,B`.
fn dependencies(module: &[u8]) -> Vec<String> {
    let strings = module.split(|byte| *byte == 0);
    let list = strings
        .filter_map(|string| string.strip_prefix(b"depends="))
        .next();
    let list = String::from_utf8_lossy(list.unwrap_or_default()).into_owned();
    list.split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_found_among_other_strings() {
        let module = b"\x7fELF\0license=GPL\0depends=libnvdimm,nd_virtio\0name=virtio_pmem\0";
        assert_eq!(dependencies(module), ["libnvdimm", "nd_virtio"]);
        assert!(dependencies(b"\x7fELF\0depends=\0").is_empty());
        assert!(dependencies(b"").is_empty());
    }

    #[test]
    fn modules_come_after_what_they_need() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("arch/x86/boot")).unwrap();
        fs::create_dir_all(path("modules/x")).unwrap();
        fs::write(path("arch/x86/boot/bzImage"), "").unwrap();
        fs::write(path(".config"), "CONFIG_BLK_DEV_DCSS=m\nCONFIG_KASAN=y\n").unwrap();
        fs::write(path("modules/dcss.ko"), "\0depends=\0").unwrap();
        fs::write(path("modules/x/a-b.ko"), "\0depends=c\0").unwrap();
        fs::write(path("modules/x/c.ko"), "\0depends=\0").unwrap();
        let kernel = Kernel::open(directory.path()).unwrap();
        assert_eq!((kernel.driver(), kernel.is_debug()), (Driver::Module, true));
        let order = kernel.module_with_dependencies("a_b").unwrap();
        assert_eq!(order, [path("modules/x/c.ko"), path("modules/x/a-b.ko")]);
        assert!(kernel.module_with_dependencies("d").is_err());
    }

    #[test]
    fn a_directory_without_a_kernel_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Kernel::open(directory.path()).is_err());
        fs::write(directory.path().join(".config"), "").unwrap();
        let error = Kernel::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("bzImage"), "{error}");
    }
}
