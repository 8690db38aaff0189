// SPDX-License-Identifier: GPL-2.0

//! What of the saved files is in the host's page cache.

use std::path::PathBuf;

use onecopy_machine::accounting::Residency;
use onecopy_store::Form;
use onecopy_store::Store;
use onecopy_system::Systems;

use crate::FileSample;

/// Looks at all files of saved systems and segment spaces. Those that come or go meanwhile, and
/// those that cannot be read, are left out.
pub(crate) fn sample(store: &Store, systems: &Systems) -> Vec<FileSample> {
    let (mut files, paths): (Vec<_>, Vec<_>) =
        saved(systems).into_iter().chain(segments(store)).unzip();
    if let Ok(all) = Residency::of_files(&paths) {
        for (file, residency) in files.iter_mut().zip(all) {
            file.take(residency);
        }
        return files;
    }
    let each = files.into_iter().zip(paths);
    let sample = |(mut file, path): (FileSample, PathBuf)| {
        file.take(Residency::of_file(&path).ok()?);
        Some(file)
    };
    each.filter_map(sample).collect()
}

impl FileSample {
    fn take(&mut self, residency: Residency) {
        self.size_bytes = residency.size_bytes;
        self.resident_bytes = residency.resident_bytes;
    }
}

fn saved(systems: &Systems) -> Vec<(FileSample, PathBuf)> {
    let mut files = Vec::new();
    for name in systems.names().unwrap_or_default() {
        for number in systems.generations(name).unwrap_or_default() {
            let Ok(generation) = systems.generation(name, number) else {
                continue;
            };
            for saved in &generation.manifest().files {
                let file = FileSample {
                    kind: "system".to_owned(),
                    name: name.to_string(),
                    generation: number,
                    file: saved.name.clone(),
                    ..FileSample::default()
                };
                files.push((file, generation.path().join(&saved.name)));
            }
        }
    }
    files
}

fn segments(store: &Store) -> Vec<(FileSample, PathBuf)> {
    let mut files = Vec::new();
    for name in store.all_names().unwrap_or_default() {
        for number in store.generations(name).unwrap_or_default() {
            let Ok(space) = store.generation(name, number) else {
                continue;
            };
            let path = space.path();
            let file = FileSample {
                kind: "segment".to_owned(),
                name: name.to_string(),
                generation: number,
                file: Form::Segment.file_name(number),
                ..FileSample::default()
            };
            files.push((file, path.to_owned()));
        }
    }
    files
}
