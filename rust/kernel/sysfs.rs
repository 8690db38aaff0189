// SPDX-License-Identifier: GPL-2.0

//! Directories below `/sys/firmware` with files that do not change.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*,
    str::CString, //
};
use core::ptr::NonNull;

/// A directory below `/sys/firmware`. It and its files go away when it is dropped, which waits for
/// reads that are running.
///
/// # Invariants
///
/// `kobj` is a kernel object of ours, with one reference. Each member of `files` is registered for
/// it and stays where it is until the kernel object is gone.
pub struct FirmwareDirectory {
    kobj: NonNull<bindings::kobject>,
    files: KVec<KBox<File>>,
}

struct File {
    attribute: bindings::bin_attribute,
    name: CString,
    content: KVec<u8>,
}

// SAFETY: Kernel objects may be used from any thread; files are only read.
unsafe impl Send for FirmwareDirectory {}

impl FirmwareDirectory {
    /// Makes an empty directory.
    ///
    /// Returns `ENOMEM`, also if there is one of that name.
    pub fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: The name is valid; `firmware_kobj` exists since before the first initcall.
        let kobj = unsafe {
            bindings::kobject_create_and_add(name.as_char_ptr(), bindings::firmware_kobj)
        };

        // INVARIANT: The object is new, and its first reference is ours. There is no file.
        Ok(Self {
            kobj: NonNull::new(kobj).ok_or(ENOMEM)?,
            files: KVec::new(),
        })
    }

    /// Adds a file that everybody may read.
    ///
    /// Returns `EEXIST` if there is one of that name, `ENOMEM`.
    pub fn add(&mut self, name: CString, content: KVec<u8>) -> Result {
        let mut file = KBox::new(
            File {
                attribute: pin_init::zeroed(),
                name,
                content,
            },
            GFP_KERNEL,
        )?;
        file.attribute = file.describe();
        self.files.reserve(1, GFP_KERNEL)?;

        // SAFETY: `kobj` is valid by the type invariants. The attribute is on the heap and stays
        // there until the object is gone, and so do the name and the content that it points to.
        to_result(unsafe {
            bindings::sysfs_create_bin_file(self.kobj.as_ptr(), &raw const file.attribute)
        })?;
        // INVARIANT: The file is registered, and moving the box does not move it.
        //
        // There is room, see above.
        self.files.push(file, GFP_KERNEL)?;
        Ok(())
    }
}

impl File {
    fn describe(&self) -> bindings::bin_attribute {
        bindings::bin_attribute {
            attr: bindings::attribute {
                name: self.name.as_char_ptr(),
                mode: 0o444,
                #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
                key: crate::static_lock_class!().as_ptr(),
                ..pin_init::zeroed()
            },
            size: self.content.len(),
            private: self.content.as_ptr().cast_mut().cast(),
            read: Some(bindings::sysfs_bin_attr_simple_read),
            ..pin_init::zeroed()
        }
    }
}

impl Drop for FirmwareDirectory {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the object is in sysfs and the reference is ours. Removing
        // it from there waits for those who read a file; the files are dropped only after that. The
        // object itself may live longer.
        unsafe {
            bindings::kobject_del(self.kobj.as_ptr());
            bindings::kobject_put(self.kobj.as_ptr());
        }
    }
}
