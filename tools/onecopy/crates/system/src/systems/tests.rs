// SPDX-License-Identifier: GPL-2.0

//! Tests of generations that come and go.

use std::fs;
use std::os::unix::fs::symlink;

use onecopy_store::CURRENT;

use super::*;
use crate::error::Error;
use crate::manifest;
use crate::manifest::tests::manifest;

/// Makes a store with generations of LX73 that have only their manifests.
fn store(generations: &[u64], current: u64) -> (tempfile::TempDir, Systems, Name) {
    let directory = tempfile::tempdir().unwrap();
    let systems = Systems::open(directory.path());
    let name = manifest().name;
    for generation in generations {
        let path = systems.shelf(name).path(*generation);
        fs::create_dir_all(&path).unwrap();
        let text = manifest().to_text().unwrap();
        fs::write(path.join(manifest::FILE), text).unwrap();
    }
    let link = systems.directory(name).join(CURRENT);
    symlink(current.to_string(), link).unwrap();
    (directory, systems, name)
}

#[test]
fn a_generation_stays_for_as_long_as_it_is_used() {
    let (_directory, systems, name) = store(&[1, 2], 2);
    let used = systems.acquire(name).unwrap();
    assert_eq!(systems.unused(name).unwrap(), [1]);
    let purged = systems.purge(name).unwrap();
    assert_eq!((purged.removed, purged.pending), (vec![1], vec![2]));
    assert_eq!(systems.class(&used).unwrap(), Class::PendingPurge);
    assert_eq!(systems.names().unwrap(), [name]);
    let error = systems.acquire(name).unwrap_err().to_string();
    assert!(error.ends_with("nothing has been saved there"), "{error}");

    drop(used);
    assert_eq!(systems.remove_unused(name).unwrap().removed, [2]);
    assert_eq!(systems.names().unwrap(), []);
    assert!(matches!(
        systems.purge(name).unwrap_err(),
        Error::NotFound { .. }
    ));
}

#[test]
fn the_current_generation_is_not_removed_and_old_ones_are() {
    let (_directory, systems, name) = store(&[1, 2, 3], 2);
    assert_eq!(systems.unused(name).unwrap(), [1, 3]);
    assert_eq!(systems.remove_unused(name).unwrap().removed, [1, 3]);
    assert_eq!(systems.generations(name).unwrap(), [2]);
}

#[test]
fn what_a_killed_removal_leaves_is_removed() {
    let (_directory, systems, name) = store(&[2], 2);
    let half = systems.directory(name).join(".draft-removed-1");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("state"), "half").unwrap();
    systems.remove_unused(name).unwrap();
    assert!(!half.exists());
}

#[test]
fn a_damaged_manifest_names_its_file() {
    let (_directory, systems, name) = store(&[2], 2);
    let file = systems.shelf(name).path(2).join(manifest::FILE);
    fs::write(&file, "format = 1\n").unwrap();
    let error = systems.acquire(name).unwrap_err();
    let expected = format!("The manifest {} cannot be used", file.display());
    assert_eq!(error.to_string(), expected);
}
