// SPDX-License-Identifier: GPL-2.0

//! Images of directories, made by the real mkfs.erofs and read by the real fsck.erofs and
//! dump.erofs.
//!
//! Without the tools the tests say so and pass; with `ONECOPY_REQUIRE_TOOLS` set they fail.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_store::MemberContent;
use onecopy_store::MemberSource;
use onecopy_store::MemberState;
use onecopy_store::Mkfs;
use onecopy_store::Space;
use onecopy_store::SpaceBuilder;
use onecopy_store::Store;

const MIB: u64 = 1 << 20;

/// Returns mkfs.erofs, or `None` after saying why the test does not run.
fn mkfs() -> Option<Mkfs> {
    match Mkfs::find() {
        Ok(mkfs) => Some(mkfs),
        Err(error) if std::env::var_os("ONECOPY_REQUIRE_TOOLS").is_none() => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Returns another program of erofs-utils, which lies beside mkfs.erofs or on `PATH`.
fn beside(mkfs: &Mkfs, program: &str) -> Option<PathBuf> {
    let path = mkfs
        .path()
        .parent()
        .map(|directory| directory.join(program))?;
    let path = if path.is_file() {
        path
    } else {
        PathBuf::from(program)
    };
    if Command::new(&path).arg("--version").output().is_ok() {
        return Some(path);
    }
    assert!(
        std::env::var_os("ONECOPY_REQUIRE_TOOLS").is_none(),
        "no {program}"
    );
    eprintln!("skipped: no {program}");
    None
}

/// Writes `len` bytes that do not repeat within a file and differ between seeds.
fn write_file(path: &Path, len: u64, seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap() + 8);
    while (bytes.len() as u64) < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(usize::try_from(len).unwrap());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Makes a tree with what real ones have: many small files, large ones between them, holes,
/// duplicates, links, empty files and a directory of several blocks.
fn make_tree(root: &Path) {
    for index in 0..700 {
        write_file(
            &root.join(format!("small/file-number-{index:04}")),
            index * 13 + 1,
            index,
        );
    }
    for (index, len) in [2 * MIB, 3 * MIB + 1, 5_000_001, 2 * MIB - 1, 9 * MIB]
        .iter()
        .enumerate()
    {
        write_file(
            &root.join(format!("d{index}/large")),
            *len,
            1000 + index as u64,
        );
        write_file(
            &root.join(format!("d{index}/deep/er/small")),
            5000,
            2000 + index as u64,
        );
    }
    fs::copy(root.join("d1/large"), root.join("d1/copy-of-large")).unwrap();
    fs::copy(
        root.join("small/file-number-0400"),
        root.join("d0/copy-of-small"),
    )
    .unwrap();
    fs::hard_link(root.join("d0/large"), root.join("d4/link")).unwrap();
    std::os::unix::fs::symlink("../d0/large", root.join("d2/symlink")).unwrap();
    std::os::unix::fs::symlink("x".repeat(3000), root.join("d2/long-symlink")).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::create_dir(root.join("empty-directory")).unwrap();
    let sparse = File::create(root.join("d3/sparse")).unwrap();
    sparse.set_len(8 * MIB).unwrap();
    sparse.write_all_at(b"in the middle", 5 * MIB).unwrap();
    sparse.write_all_at(b"end", 8 * MIB).unwrap();
    File::create(root.join("d3/all-hole"))
        .unwrap()
        .set_len(4 * MIB)
        .unwrap();
}

fn save(store: &Store, tree: &Path) -> Space {
    let name = Name::new(b"TREE").unwrap();
    let content = MemberContent::Directory(tree.to_owned());
    SpaceBuilder::new(name)
        .member(MemberSource {
            name,
            kind: SegmentType::Sr,
            content,
        })
        .save(store, &mut |_| {})
        .unwrap()
}

/// Copies the only member of a space into a file of its own.
fn extract_member(space: &Space, path: &Path) {
    let member = space.members()[0];
    let mut bytes = vec![0; usize::try_from(member.size_bytes).unwrap()];
    File::open(space.path())
        .unwrap()
        .read_exact_at(&mut bytes, member.offset_bytes)
        .unwrap();
    fs::write(path, bytes).unwrap();
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}{stderr}");
    said
}

#[test]
fn every_file_survives_the_new_layout() {
    let Some(mkfs) = mkfs() else { return };
    let Some(fsck) = beside(&mkfs, "fsck.erofs") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    make_tree(&tree);
    let space = save(&Store::open(directory.path().join("store")), &tree);
    let checks = space.verify(&mut |_| {}).unwrap();
    assert!(checks
        .iter()
        .all(|check| check.state == MemberState::Intact));

    let image = directory.path().join("image");
    let extracted = directory.path().join("extracted");
    extract_member(&space, &image);
    run(Command::new(fsck)
        .arg(format!("--extract={}", extracted.display()))
        .arg(&image));
    // fsck.erofs 1.8.6 does not extract a hole at the end of a file.
    let options = ["-r", "--no-dereference", "--exclude=all-hole"];
    run(Command::new("diff")
        .args(options)
        .arg(&tree)
        .arg(&extracted));
    let time = |root: &Path| fs::metadata(root.join("d0/large")).unwrap().mtime();
    assert_eq!(time(&tree), time(&extracted), "files keep their times");
}

#[test]
fn large_files_start_at_multiples_of_2_mib() {
    let Some(mkfs) = mkfs() else { return };
    let Some(dump) = beside(&mkfs, "dump.erofs") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    make_tree(&tree);
    let space = save(&Store::open(directory.path().join("store")), &tree);
    assert!(space.members()[0].dax_aligned());

    let image = directory.path().join("image");
    extract_member(&space, &image);
    for name in [
        "d0/large",
        "d1/large",
        "d1/copy-of-large",
        "d2/large",
        "d4/large",
        "d3/sparse",
    ] {
        let said = run(Command::new(&dump)
            .args(["-e", &format!("--path=/{name}")])
            .arg(&image));
        let extents = extents(&said);
        assert!(!extents.is_empty(), "{said}");
        for (logical, physical) in extents {
            let large_page = 2 * MIB;
            assert_eq!(
                logical % large_page,
                physical % large_page,
                "{name}: {said}"
            );
        }
    }
}

/// Reads `0:   0.. 2097152 | 2097152 :   4096..  2101248 | 2097152` into logical and physical
/// start; holes are left out.
fn extents(dump: &str) -> Vec<(u64, u64)> {
    dump.lines()
        .filter_map(|line| {
            let mut parts = line.split(':');
            parts.next()?.trim().parse::<u32>().ok()?;
            let start = |part: &str| part.split("..").next()?.trim().parse::<u64>().ok();
            Some((start(parts.next()?)?, start(parts.next()?)?))
        })
        .filter(|&(_, physical)| physical != 0)
        .collect()
}

#[test]
fn many_small_files_do_not_blow_up_the_image() {
    let Some(_) = mkfs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    for index in 0..3000 {
        write_file(&tree.join(format!("{}/{index}", index % 50)), 3000, index);
    }
    write_file(&tree.join("large"), 4 * MIB, 1);
    let space = save(&Store::open(directory.path().join("store")), &tree);
    // 3000 blocks of small files, 4 MiB, metadata, and at most two alignments.
    assert!(
        space.size_bytes() < 24 * MIB,
        "{} bytes",
        space.size_bytes()
    );
}

#[test]
fn the_same_tree_gives_the_same_image() {
    let Some(_) = mkfs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    make_tree(&tree);
    let store = Store::open(directory.path().join("store"));
    let [first, second] = [save(&store, &tree), save(&store, &tree)];
    assert_eq!((first.generation(), second.generation()), (1, 2));
    assert_eq!(first.members()[0].sha256, second.members()[0].sha256);
}

#[test]
fn an_empty_directory_makes_an_image() {
    let Some(_) = mkfs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let space = save(&Store::open(directory.path().join("store")), &tree);
    assert_eq!(space.size_bytes(), 4 * MIB);
}
