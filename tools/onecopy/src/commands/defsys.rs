// SPDX-License-Identifier: GPL-2.0

//! `onecopy defsys`

use onecopy_system::kernel::Kernel;
use onecopy_system::ranges;

use crate::cli::DefsysArgs;
use crate::outcome::Defined;

pub(super) fn run(args: &DefsysArgs) -> anyhow::Result<Defined> {
    let layout = &args.layout;
    let kernel = Kernel::read(&layout.kernel)?;
    Ok(Defined {
        name: args.name,
        ranges: ranges::divide(&kernel.layout, layout.memory, layout.kernel_memory)?,
        memory_bytes: layout.memory,
    })
}
