// SPDX-License-Identifier: GPL-2.0

//! Partitions with their files.

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;

use super::files::DIRECTORY;
use super::files::INVENTORY;
use super::files::TABLE;
use super::*;
use crate::resources::tests::resources;
use crate::Kind;

const PARTITIONS: usize = 8;

fn store() -> (tempfile::TempDir, Partitions) {
    let directory = tempfile::tempdir().unwrap();
    let partitions = Partitions::open(directory.path().join("store"));
    (directory, partitions)
}

fn name(text: &str) -> PartitionName {
    text.parse().unwrap()
}

fn kernel(text: &str) -> Name {
    text.parse().unwrap()
}

fn definition(text: &str) -> Definition {
    Definition {
        name: name(text),
        kernel: kernel("K1"),
        resources: Resources {
            overcommit: true,
            ..resources(64, 1)
        },
        replace: false,
    }
}

fn file(partitions: &Partitions, name: &str) -> PathBuf {
    partitions.root().join(DIRECTORY).join(name)
}

fn no_guests(partitions: &Partitions) -> Guests {
    Guests::open(partitions.root().join("run"))
}

#[test]
fn a_partition_is_defined_upgraded_rolled_back_and_removed() {
    let (_directory, partitions) = store();
    assert!(partitions.list().unwrap().partitions.is_empty());
    let defined = partitions.define(&definition("web")).unwrap();
    assert_eq!(partitions.find(&name("web")).unwrap(), defined);
    let before = fs::read(&defined.path).unwrap();

    let upgrade = partitions.upgrade(&name("web"), kernel("K2")).unwrap();
    assert_eq!(upgrade.before, defined.entry);
    let entry = &upgrade.after.entry;
    assert_eq!(
        (entry.kernel, entry.previous),
        (kernel("K2"), Some(kernel("K1")))
    );
    assert_eq!(entry.resources, defined.entry.resources);
    assert_eq!(upgrade.after.resources, defined.resources);
    let same = partitions.upgrade(&name("web"), kernel("K2")).unwrap();
    assert_eq!(same.before, same.after.entry);

    let back = partitions.rollback(&name("web")).unwrap().after;
    assert_eq!(
        (back.entry.kernel, back.entry.previous),
        (kernel("K1"), None)
    );
    assert_eq!(fs::read(&defined.path).unwrap(), before);

    partitions
        .remove(&name("web"), &no_guests(&partitions))
        .unwrap();
    assert!(!defined.path.exists());
    let error = partitions.find(&name("web")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "There is no partition web; none is defined"
    );
    assert_eq!(error.kind(), Kind::Unknown);
}

#[test]
fn an_upgrade_is_taken_back_unless_there_was_another() {
    let (_directory, partitions) = store();
    let defined = partitions.define(&definition("web")).unwrap();
    let first = partitions.upgrade(&name("web"), kernel("K2")).unwrap();
    assert!(partitions.restore(&first).unwrap());
    assert_eq!(partitions.find(&name("web")).unwrap().entry, defined.entry);
    partitions.upgrade(&name("web"), kernel("K3")).unwrap();
    assert!(!partitions.restore(&first).unwrap());
}

#[test]
fn resources_are_replaced_and_the_kernel_is_not() {
    let (_directory, partitions) = store();
    let mut change = definition("web");
    change.replace = true;
    let error = partitions.define(&change).unwrap_err();
    assert_eq!(error.kind(), Kind::Unknown);
    let before = partitions.define(&definition("web")).unwrap();
    change.resources.hostname = Some("shop".to_owned());
    let after = partitions.define(&change).unwrap();
    assert_eq!(after.entry, before.entry);
    assert_eq!(after.resources.hostname.as_deref(), Some("shop"));
    change.kernel = kernel("K2");
    let error = partitions.define(&change).unwrap_err();
    assert_eq!(error.kind(), Kind::State);
    change.kernel = kernel("K1");
    change.resources.hostname = Some("a b".to_owned());
    let said = partitions.define(&change).unwrap_err().to_string();
    let start = "Partition web cannot be defined so: hostname: ";
    assert!(said.starts_with(start), "{said}");
    assert_eq!(partitions.find(&name("web")).unwrap(), after);
}

#[test]
fn damage_stops_at_the_partition_that_it_concerns() {
    let (_directory, partitions) = store();
    partitions.define(&definition("web")).unwrap();
    let db = partitions.define(&definition("db")).unwrap();
    fs::write(&db.path, "format = 1\nmemory_mib = many\n").unwrap();
    let listed = partitions.list().unwrap();
    assert_eq!(listed.partitions[0].name, name("web"));
    assert_eq!(listed.damaged[0].error.kind(), Kind::Damaged);
    let source = std::error::Error::source(&listed.damaged[0].error).unwrap();
    assert!(
        source.to_string().starts_with("line 2, column 14: "),
        "{source}"
    );
    partitions.admit(&listed.partitions[0]).unwrap();
    // How much is left cannot be said.
    let error = partitions.define(&definition("ci")).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);

    fs::remove_file(&db.path).unwrap();
    let error = partitions.upgrade(&name("db"), kernel("K2")).unwrap_err();
    assert!(matches!(error, Error::NoResources { .. }), "{error}");
    symlink("web.toml", &db.path).unwrap();
    let error = partitions.find(&name("db")).unwrap_err();
    assert!(
        matches!(error, Error::Directory(onecopy_directory::Error::Link(_))),
        "{error}"
    );
    partitions
        .remove(&name("db"), &no_guests(&partitions))
        .unwrap();
    assert!(partitions.list().unwrap().damaged.is_empty());
}

#[test]
fn a_damaged_table_is_left_alone() {
    let (_directory, partitions) = store();
    partitions.define(&definition("web")).unwrap();
    let table = file(&partitions, TABLE);
    let text = fs::read_to_string(&table).unwrap().replace("\"K1\"", "K1");
    fs::write(&table, &text).unwrap();
    let guests = no_guests(&partitions);
    for error in [
        partitions.list().unwrap_err(),
        partitions.define(&definition("db")).unwrap_err(),
        partitions.rollback(&name("web")).unwrap_err(),
        partitions.remove(&name("web"), &guests).unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Damaged);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.starts_with("line 4, column 10: "), "{source}");
    }
    assert_eq!(fs::read_to_string(&table).unwrap(), text);
}

#[test]
fn the_inventory_counts_also_before_the_first_partition() {
    let (_directory, partitions) = store();
    let (host, origin) = partitions.inventory().unwrap();
    assert_eq!(origin, Origin::Host);
    let path = file(&partitions, INVENTORY);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "format = 1\nmemory_mib = 100\n").unwrap();
    let (given, origin) = partitions.inventory().unwrap();
    assert_eq!((given.memory_mib, given.cpus), (100, host.cpus));
    assert_eq!(origin, Origin::File(path));
    let mut wanted = definition("web");
    wanted.resources.overcommit = false;
    let web = partitions.define(&wanted).unwrap();
    partitions.admit(&web).unwrap();
    wanted.name = name("db");
    let error = partitions.define(&wanted).unwrap_err();
    assert_eq!(error.kind(), Kind::Shortage);
    assert!(partitions.find(&wanted.name).is_err());
    // A partition does not stand in its own way.
    wanted.name = name("web");
    wanted.replace = true;
    partitions.define(&wanted).unwrap();
}

#[test]
fn changes_at_the_same_time_are_all_made() {
    let (_directory, partitions) = store();
    thread::scope(|scope| {
        for number in 0..PARTITIONS {
            let partitions = &partitions;
            scope.spawn(move || {
                let name = format!("p{number}");
                partitions.define(&definition(&name)).unwrap();
                let upgraded = partitions.upgrade(&self::name(&name), kernel("K2"));
                assert_eq!(upgraded.unwrap().before.kernel, kernel("K1"));
                assert!(partitions.list().unwrap().damaged.is_empty());
            });
        }
    });
    let listed = partitions.list().unwrap().partitions;
    assert_eq!(listed.len(), PARTITIONS);
    assert!(listed
        .iter()
        .all(|found| found.entry.kernel == kernel("K2")));
}
