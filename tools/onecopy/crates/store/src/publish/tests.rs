// SPDX-License-Identifier: GPL-2.0

//! Tests of publishing, and of what is left when it does not come to its end.

use std::fs;
use std::os::unix::fs::symlink;

use onecopy_format::segment_space::SegmentType;

use super::*;
use crate::builder::MemberContent;
use crate::builder::MemberSource;
use crate::builder::SpaceBuilder;
use crate::store::Store;

fn open(directory: &Path) -> Directory {
    Directory::open(directory).unwrap().unwrap()
}

fn lock(directory: &Path, form: Form) -> Result<Publisher> {
    Publisher::lock_in(open(directory), form)
}

fn left(directory: &Path) -> Vec<PathBuf> {
    leftovers(&open(directory), Form::Segment).unwrap()
}

fn publish(directory: &Path) -> PathBuf {
    let draft = Draft::create(&open(directory)).unwrap();
    let publisher = lock(directory, Form::Segment).unwrap();
    let generation = publisher.next_generation().unwrap();
    publisher.publish(&draft, generation, &[], None).unwrap()
}

fn generations(directory: &Path, form: Form) -> Vec<u64> {
    form.generations(&open(directory)).unwrap()
}

#[test]
fn generations_count_up_and_current_follows() {
    let directory = tempfile::tempdir().unwrap();
    for expected in ["1.seg", "2.seg", "3.seg"] {
        let path = publish(directory.path());
        assert_eq!(path, directory.path().join(expected));
        let current = fs::read_link(directory.path().join(CURRENT)).unwrap();
        assert_eq!(current, Path::new(expected));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o444);
    }
    assert_eq!(generations(directory.path(), Form::Segment), [1, 2, 3]);
}

#[test]
fn a_leftover_of_an_interrupted_rename_is_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    symlink("7.seg", directory.path().join(NEXT)).unwrap();
    publish(directory.path());
    assert!(!directory.path().join(NEXT).is_symlink());
}

#[test]
fn a_generation_that_never_became_current_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    publish(directory.path());
    // A kill between the name and the link leaves this.
    symlink("2.seg", directory.path().join(NEXT)).unwrap();
    fs::write(directory.path().join("2.seg"), "complete but never current").unwrap();
    drop(lock(directory.path(), Form::Segment).unwrap());
    assert_eq!(generations(directory.path(), Form::Segment), [1]);
    assert!(!directory.path().join(NEXT).is_symlink());
    // The current generation stays, whatever the link says.
    symlink("1.seg", directory.path().join(NEXT)).unwrap();
    drop(lock(directory.path(), Form::Segment).unwrap());
    assert_eq!(generations(directory.path(), Form::Segment), [1]);
}

#[test]
fn what_is_kept_beside_a_generation_comes_and_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    // A kill between the two leaves this.
    fs::write(path.join("1.toml"), "of none").unwrap();
    fs::write(path.join("notes.toml"), "not ours").unwrap();
    assert_eq!(left(path), [path.join("1.toml")]);
    publish(path);
    assert!(!path.join("1.toml").exists());
    let draft = Draft::create(&open(path)).unwrap();
    let publisher = lock(path, Form::Segment).unwrap();
    publisher.publish(&draft, 2, &[], Some("of two")).unwrap();
    drop(publisher);
    assert_eq!(left(path), [""; 0].map(PathBuf::from));
    assert_eq!(fs::read_to_string(path.join("2.toml")).unwrap(), "of two");
    assert!(path.join("notes.toml").exists());
}

#[test]
fn a_generation_without_a_link_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("4.seg"), "complete but never current").unwrap();
    assert_eq!(publish(directory.path()), directory.path().join("5.seg"));
}

#[test]
fn a_directory_is_published_like_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for expected in ["1", "2"] {
        let draft = Scratch::create(&open(directory.path())).unwrap();
        fs::write(draft.path().join("manifest"), expected).unwrap();
        let publisher = lock(directory.path(), Form::System).unwrap();
        let generation = publisher.next_generation().unwrap();
        let path = publisher.publish_directory(&draft, generation).unwrap();
        assert_eq!(path, at(expected));
        drop(draft);
        let manifest = fs::read_to_string(at(CURRENT).join("manifest")).unwrap();
        assert_eq!(manifest, expected);
    }
    // A kill between the name and the link leaves this.
    symlink("3", at(NEXT)).unwrap();
    fs::create_dir(at("3")).unwrap();
    fs::write(at("3/manifest"), "complete but never current").unwrap();
    drop(lock(directory.path(), Form::System).unwrap());
    assert_eq!(generations(directory.path(), Form::System), [1, 2]);
}

#[test]
fn a_publisher_stays_in_the_directory_that_it_has_locked() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for name in ["USR", "outside"] {
        fs::create_dir(at(name)).unwrap();
    }
    let directory = open(&at("USR"));
    let draft = Draft::create(&directory).unwrap();
    let scratch = Scratch::create(&directory).unwrap();
    let publisher = lock(&at("USR"), Form::Segment).unwrap();
    fs::rename(at("USR"), at("moved")).unwrap();
    symlink(at("outside"), at("USR")).unwrap();
    publisher.publish(&draft, 1, &[], Some("text")).unwrap();
    drop(publisher);
    let publisher = Publisher::lock_in(directory, Form::System).unwrap();
    publisher.publish_directory(&scratch, 2).unwrap();
    assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 0);
    let mut names = publisher.directory().names().unwrap();
    names.sort();
    assert_eq!(names, [".lock", "1.seg", "1.toml", "2", "current"]);
}

#[test]
fn a_link_that_comes_while_content_is_copied_is_not_written_through() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::write(at("image"), "content").unwrap();
    fs::create_dir(at("outside")).unwrap();
    let name = "USR".parse().unwrap();
    let member = MemberSource {
        name,
        kind: SegmentType::Sr,
        content: MemberContent::Image(at("image")),
    };
    let place = at("segments/USR");
    let mut swap = |_| {
        if !at("moved").exists() {
            fs::rename(&place, at("moved")).unwrap();
            symlink(at("outside"), &place).unwrap();
        }
    };
    let save = SpaceBuilder::new(name).member(member);
    let error = save.save(&Store::open(root.path()), &mut swap).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("segments/USR is a symbolic link"), "{said}");
    assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 0);
    assert!(!at("moved/1.seg").exists());
}

#[test]
fn a_link_where_something_is_to_be_written_is_refused_or_replaced() {
    let root = tempfile::tempdir().unwrap();
    let (path, outside) = (root.path().join("USR"), root.path().join("outside"));
    fs::create_dir(&path).unwrap();
    fs::write(&outside, "secret").unwrap();
    let plant = |name: &str| symlink(&outside, path.join(name)).unwrap();
    plant(".lock");
    let error = lock(&path, Form::Segment).unwrap_err();
    assert!(
        error.to_string().contains("/.lock is a symbolic link"),
        "{error}"
    );
    fs::remove_file(path.join(".lock")).unwrap();
    // Whoever gets the right removes these, and not what they lead to.
    for name in [NEXT, onecopy_directory::DRAFT, ".draft-a", "1.toml"] {
        plant(name);
    }
    let draft = Draft::create(&open(&path)).unwrap();
    let publisher = lock(&path, Form::Segment).unwrap();
    for name in [onecopy_directory::DRAFT, "1.toml", CURRENT, "2.seg"] {
        plant(name);
    }
    publisher.publish(&draft, 1, &[], Some("text")).unwrap();
    assert_eq!(fs::read_to_string(path.join("1.toml")).unwrap(), "text");
    let error = publisher.publish(&draft, 2, &[], None).unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert!(
        source.is_some_and(|said| said.contains("exists")),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&outside).unwrap(), "secret");
}

#[test]
fn only_our_file_names_are_generations() {
    for (name, expected) in [
        ("12.seg", Some(12)),
        ("012.seg", None),
        ("+1.seg", None),
        ("1seg", None),
        (".seg", None),
        ("current", None),
    ] {
        assert_eq!(
            Form::Segment.generation_of(Path::new(name)),
            expected,
            "{name}"
        );
    }
}
