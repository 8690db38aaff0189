// SPDX-License-Identifier: GPL-2.0

//! Tests of [`super`].

use std::os::unix::fs::PermissionsExt;

use onecopy_store::Lock;

use super::record::FILE;
use super::*;
use crate::error::Error;

fn record(guest: &GuestName) -> Record {
    let keeper = Process::ours().unwrap();
    Record::new(
        guest.clone(),
        "LX".parse().unwrap(),
        1,
        Path::new("/s"),
        keeper,
    )
}

pub(super) fn claim(guests: &Guests, name: Option<&str>) -> Result<Claim> {
    let name = name.map(|name| name.parse().unwrap());
    guests.claim(name.as_ref(), "LX".parse().unwrap(), record)
}

#[test]
fn guests_without_a_name_are_numbered() {
    let root = tempfile::tempdir().unwrap();
    let guests = Guests::open(root.path().join("run"));
    assert_eq!(guests.list().unwrap(), []);
    let one = claim(&guests, None).unwrap();
    let two = claim(&guests, None).unwrap();
    assert_eq!((one.name().as_str(), two.name().as_str()), ("lx1", "lx2"));
    drop(one);
    let again = claim(&guests, None).unwrap();
    assert_eq!(again.name().as_str(), "lx1");
    let names: Vec<_> = guests
        .list()
        .unwrap()
        .into_iter()
        .map(|r| r.guest)
        .collect();
    assert_eq!(names, [again.name().clone(), two.name().clone()]);
    let mode = again.file("").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_name_in_use_is_refused_until_its_keeper_has_ended() {
    let root = tempfile::tempdir().unwrap();
    let guests = Guests::open(root.path());
    let first = claim(&guests, Some("web")).unwrap();
    let error = claim(&guests, Some("web")).unwrap_err();
    assert_eq!(error.to_string(), "There is a guest web already");

    // Its keeper was killed, and the number is another process's by now.
    let ours = Process::ours().unwrap();
    let mut stale = record(first.name());
    stale.keeper = Process {
        start_ticks: ours.start_ticks + 1,
        ..ours
    };
    first.write(&stale).unwrap();
    fs::write(first.file("console.log"), "old").unwrap();
    std::mem::forget(first);
    assert_eq!(guests.list().unwrap(), []);
    let second = claim(&guests, Some("web")).unwrap();
    assert!(!second.file("console.log").exists());
}

/// Damages the record of a guest that runs in ways that a crash or a later version may.
fn damage(claim: &Claim) -> Vec<String> {
    let record = claim.file(FILE);
    let text = fs::read_to_string(&record).unwrap();
    vec![
        String::new(),
        text[..text.len() / 2].to_owned(),
        "format = 2\n".to_owned(),
        format!("later = 1\n{text}"),
    ]
}

#[test]
fn a_guest_whose_record_is_not_understood_keeps_its_name_and_directory() {
    let root = tempfile::tempdir().unwrap();
    let guests = Guests::open(root.path());
    let other = claim(&guests, None).unwrap();
    let web = claim(&guests, Some("web")).unwrap();
    let text = fs::read_to_string(web.file(FILE)).unwrap();
    for damaged in damage(&web) {
        fs::write(web.file(FILE), &damaged).unwrap();
        let find = guests.find(web.name()).map(drop);
        for error in [find, claim(&guests, Some("web")).map(drop)] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), onecopy_store::Kind::Damaged, "{error}");
            let path = web.file(FILE).display().to_string();
            assert!(error.to_string().starts_with(&path), "{error}");
        }
        assert_eq!(fs::read_to_string(web.file(FILE)).unwrap(), damaged);
        let listed = guests.examine().unwrap();
        let names = listed.guests.iter().map(|record| &record.guest);
        assert!(names.eq([other.name()]));
        let names = listed.unknown.iter().map(|unknown| &unknown.guest);
        assert!(names.eq([web.name()]));
        assert_eq!(guests.stale().unwrap(), []);
    }
    // It may run in any partition.
    let partition = "shop".parse().unwrap();
    let store = Path::new("/s");
    assert_eq!(guests.serving(&partition, store).unwrap(), None);
    guests.occupant(&partition, store).unwrap_err();
    fs::write(web.file(FILE), "format = 2").unwrap();
    let path = web.file("");
    drop(web);
    assert!(path.exists(), "nobody knows whose it is");
    fs::write(path.join(FILE), text).unwrap();
    assert_eq!(
        guests.find(&"web".parse().unwrap()).unwrap().memory_bytes,
        0
    );
    // A number whose record is not understood is not free, and the next one is.
    fs::write(other.file(FILE), "").unwrap();
    assert_eq!(claim(&guests, None).unwrap().name().as_str(), "lx2");
}

#[test]
fn where_a_record_is_not_understood_is_said() {
    let root = tempfile::tempdir().unwrap();
    let guests = Guests::open(root.path());
    let web = claim(&guests, Some("web")).unwrap();
    fs::write(web.file(FILE), "guest = \"web\"\nsystem = LX\n").unwrap();
    let Err(Error::Record { source, .. }) = guests.find(web.name()) else {
        panic!("it is not understood");
    };
    let said = source.to_string();
    assert!(said.starts_with("line 2, column 10: "), "{said}");
}

#[test]
fn a_directory_goes_only_with_the_keeper_that_its_record_names() {
    let root = tempfile::tempdir().unwrap();
    let guests = Guests::open(root.path());
    let web = claim(&guests, Some("web")).unwrap();
    let path = web.file("");
    let ours = Process::ours().unwrap();
    let mut other = record(web.name());
    other.keeper.start_ticks += 1;
    web.write(&other).unwrap();
    // It was given up and claimed again meanwhile: by none of these it is removed.
    release(&path, ours).unwrap();
    guests.abandon();
    drop(web);
    assert!(path.exists());
    release(&path, other.keeper).unwrap();
    assert!(!path.exists());
    release(&path, other.keeper).unwrap();
}

#[test]
fn a_directory_goes_when_nobody_else_has_the_lock() {
    let root = tempfile::tempdir().unwrap();
    let guests = Guests::open(root.path());
    let web = claim(&guests, Some("web")).unwrap();
    let path = web.file("");
    let lock = Lock::exclusive(&guests.directory).unwrap();
    let dropped = std::thread::spawn(move || drop(web));
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(path.exists());
    drop(lock);
    dropped.join().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_partition_has_one_guest_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let guests = Guests::open(root.path());
    let partition: GuestName = "shop".parse().unwrap();
    let claim = |name: &str, store: &str| {
        guests.claim(
            Some(&name.parse().unwrap()),
            "LX".parse().unwrap(),
            |guest| Record {
                partition: Some(partition.clone()),
                store: store.into(),
                ..record(guest)
            },
        )
    };
    let first = claim("web", "/s").unwrap();
    let serving = |store: &str| guests.serving(&partition, Path::new(store)).unwrap();
    assert_eq!(serving("/s").unwrap().guest, *first.name());
    let error = claim("db", "/s").unwrap_err().to_string();
    assert_eq!(
        error,
        "Partition shop runs already, as guest web; log it off first"
    );
    assert!(!guests.directory(&"db".parse().unwrap()).exists());
    // Another store has other partitions.
    let _other = claim("db", "/t").unwrap();
    drop(first);
    assert_eq!(serving("/s"), None);
    let _again = claim("web", "/s").unwrap();
}

#[test]
fn a_missing_guest_is_reported_with_those_that_run() {
    let root = tempfile::tempdir().unwrap();
    let guests = Guests::open(root.path());
    let find = |name: &str| guests.find(&name.parse().unwrap()).map(|r| r.guest);
    let error = find("web").unwrap_err().to_string();
    assert_eq!(error, "There is no guest web; none is running");
    let claim = claim(&guests, None).unwrap();
    let error = find("web").unwrap_err().to_string();
    assert_eq!(error, "There is no guest web; there are: lx1");
    assert_eq!(find("lx1").unwrap(), *claim.name());
}
