// SPDX-License-Identifier: GPL-2.0

//! The interface to user space: `/sys/kernel/config/dcss`.
//!
//! `add` and `remove` attach and detach by name, as in dcssblk. A directory made with `mkdir NAME`
//! shows what is known of segment `NAME`; removing it changes nothing.

use crate::{
    lines::Lines,
    names::parse_name,
    onecopy::segment_space::Name,
    registry, //
};
use kernel::{
    configfs::{
        AttributeOperations,
        Group,
        GroupOperations,
        Subsystem, //
    },
    configfs_attrs,
    fmt,
    page::PAGE_SIZE,
    prelude::*, //
};

/// The directory `dcss`.
#[pin_data]
pub(crate) struct Root {}

/// Returns the directory with its attributes.
pub(crate) fn subsystem() -> impl PinInit<Subsystem<Root>, Error> {
    let item_type = configfs_attrs! {
        container: Subsystem<Root>,
        data: Root,
        child: Entry,
        attributes: [
            add: 0,
            remove: 1,
        ],
    };

    Subsystem::new(c"dcss", item_type, try_pin_init!(Root {}))
}

/// Renders into `page` what `write` writes.
fn render(
    page: &mut [u8; PAGE_SIZE],
    write: impl FnOnce(&mut Lines<'_>) -> Result,
) -> Result<usize> {
    let mut lines = Lines::new(page);

    write(&mut lines)?;
    Ok(lines.len_bytes())
}

#[vtable]
impl AttributeOperations<0> for Root {
    type Data = Root;

    /// Lists what could be attached.
    fn show(_root: &Root, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        render(page, |out| {
            registry::for_each_available(|name| out.push(fmt!("{name}\n")))
        })
    }

    fn store(_root: &Root, input: &[u8]) -> Result {
        registry::attach(input)
    }
}

#[vtable]
impl AttributeOperations<1> for Root {
    type Data = Root;

    /// Lists what could be detached.
    fn show(_root: &Root, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        render(page, |out| {
            registry::for_each_attached(|name| out.push(fmt!("{name}\n")))
        })
    }

    fn store(_root: &Root, input: &[u8]) -> Result {
        registry::detach(input)
    }
}

#[vtable]
impl GroupOperations for Root {
    type Child = Entry;

    fn make_group(&self, name: &CStr) -> Result<impl PinInit<Group<Entry>, Error>> {
        let segment = parse_name(name.to_bytes())?;
        registry::with_known(segment, |_| Ok(()))?;

        let item_type = configfs_attrs! {
            container: Group<Entry>,
            data: Entry,
            attributes: [
                attached: 0,
                type: 1,
                size_bytes: 2,
                address: 3,
                users: 4,
                generation: 5,
                dax: 6,
                space: 7,
                seglist: 8,
            ],
        };
        Ok(Group::new(
            name.try_into()?,
            item_type,
            try_pin_init!(Entry { name: segment }),
        ))
    }
}

/// The directory of a segment.
#[pin_data]
pub(crate) struct Entry {
    name: Name,
}

/// Implements the read-only attribute `$id` of a segment, which `$push` writes to `$out`.
macro_rules! entry_attribute {
    ($id:literal, $(#[$doc:meta])* |$known:ident, $out:ident| $push:expr) => {
        #[vtable]
        impl AttributeOperations<$id> for Entry {
            type Data = Entry;

            $(#[$doc])*
            fn show(entry: &Entry, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
                render(page, |$out| registry::with_known(entry.name, |$known| $push))
            }
        }
    };
}

/// Writes a value as a line.
fn push_value(out: &mut Lines<'_>, value: impl fmt::Display) -> Result {
    out.push(fmt!("{value}\n"))
}

entry_attribute!(0, /// 1 if the segment is attached, else 0.
    |known, out| push_value(out, u8::from(known.is_attached())));
entry_attribute!(1, /// The type, in the letters of CP.
    |known, out| push_value(out, known.kind()));
entry_attribute!(2, /// The size of the device in bytes.
    |known, out| push_value(out, known.size_bytes()));
entry_attribute!(3, /// The guest-physical address.
    |known, out| push_value(out, fmt!("{:#x}", known.address())));
entry_attribute!(4, /// How many have opened the device; a mounted file system is one.
    |known, out| push_value(out, known.users()));
entry_attribute!(5, /// The generation in which the segment was saved last.
    |known, out| push_value(out, known.generation()));
entry_attribute!(6, /// Whether DAX works, and if not, why.
    |known, out| push_value(out, known.dax()));
entry_attribute!(7, /// The segment space.
    |known, out| push_value(out, known.space_name()));
entry_attribute!(8, /// The segments of the device, in order of their addresses, one per line.
    |known, out| known.names().iter().try_for_each(|name| push_value(out, name)));
