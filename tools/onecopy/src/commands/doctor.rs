// SPDX-License-Identifier: GPL-2.0

//! `onecopy doctor`

use std::path::Path;

use onecopy_observe::doctor;
use onecopy_observe::doctor::Facts;
use onecopy_observe::doctor::Leftover;

use super::Places;
use crate::cli::DoctorArgs;
use crate::outcome::Examined;
use crate::outcome::Remains;

pub(super) fn run(args: &DoctorArgs, places: &Places, run: &Path) -> anyhow::Result<Examined> {
    let facts = Facts::probe(&doctor::Places {
        store: places.systems.root().to_owned(),
        run: run.to_owned(),
        qemu: args.qemu.clone(),
        confinement: places.confinement()?,
    });
    let (store, guests) = (&places.store, &places.guests);
    let (leftovers, failed) = Leftover::find(store, guests);
    let clean = |leftover: &Leftover| {
        let result = args.clean.then(|| leftover.clean(store, guests));
        Remains::new(leftover, result)
    };
    Ok(Examined {
        findings: doctor::judge(&facts),
        leftovers: leftovers.iter().map(clean).collect(),
        failed,
    })
}
