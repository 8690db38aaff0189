// SPDX-License-Identifier: GPL-2.0

//! A full disk leaves the store as it was.
//!
//! The disk is a small tmpfs in a mount namespace of its own, so no other test sees it and it
//! goes with the last process in it.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::saved::Host;
use crate::util::eqnice;
use crate::util::has_mkfs;
use crate::util::Dir;
use crate::util::PROGRAM;
use crate::util::TEMPORARY;

/// Ways into a mount namespace, as arguments of unshare(1): as root, and as anybody else.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];

/// Returns the way that works here, or says that the test cannot run: what the host does not
/// permit is no missing tool. The text comes out although the test passes.
fn way_into_a_namespace(dir: &Path) -> Option<&'static [&'static str]> {
    let mut reasons = String::new();
    for way in WAYS {
        let tried = Command::new("unshare")
            .args(way)
            .args(["mount", "-t", "tmpfs", "none"])
            .arg(dir)
            .output();
        match tried {
            Ok(output) if output.status.success() => return Some(way),
            Ok(output) => reasons.push_str(&String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("unshare(1) of util-linux cannot be run: {error}"),
        }
    }
    let text = format!(
        "full_disk: NOT RUN, mount namespaces are not permitted here: {}\n",
        reasons.trim().replace('\n', "; ")
    );
    std::io::stderr().write_all(text.as_bytes()).unwrap();
    None
}

/// Mounts a disk of 12 MiB as the store and runs a script there; then shows what is left.
pub(crate) fn run_on_small_disk(dir: &Dir, script: &str) -> Option<String> {
    let left = "echo \"left: $(ls -A store/segments/USR | tr '\\n' ' ')\"";
    run_on_disk(dir, 12, &format!("{script}\n{left}\n"))
}

/// Mounts a disk of some MiB as the store and runs a script there, which can make it larger.
pub(crate) fn run_on_disk(dir: &Dir, size_mib: u32, script: &str) -> Option<String> {
    let script = format!(
        "set -u; mkdir store; mount -t tmpfs -o size={size_mib}m none store || exit 99\n{script}"
    );
    let way = way_into_a_namespace(&dir.path(""))?;
    let mut command = Command::new("unshare");
    command
        .args(way)
        .args(["sh", "-c", &script])
        .current_dir(dir.path(""))
        .env("ONECOPY_ROOT", dir.path("store"))
        .env("ONECOPY_RUN", dir.path("run"))
        .env("TMPDIR", dir.path(TEMPORARY))
        .env("onecopy", PROGRAM)
        .env("LC_ALL", "C");
    let ran = dir.finish(&mut command);
    assert_ne!(ran.code, Some(99), "{}", ran.stderr);
    Some(ran.stdout)
}

/// Returns a loop that runs a command on a disk that grows by some MiB each time, until the command has room;
/// `after` is run after each failure.
fn grow(mib: u32, command: &str, after: &str) -> String {
    format!(
        "for step in $(seq 0 20); do
             size=$(( $(du -sm store | cut -f 1) + step * {mib} ))
             mount -o remount,size=${{size}}m store
             echo \"step $step\"
             {command} 2>&1 && break
             {after}
         done"
    )
}

/// What a script has said that tries something in steps.
struct Steps<'a> {
    said: &'a str,
    failed: Vec<&'a str>,
    /// The one that had room.
    last: &'a str,
}

impl<'a> Steps<'a> {
    fn of(said: &'a str) -> Self {
        let mut failed: Vec<_> = said.split("step ").skip(1).collect();
        let last = failed.pop().unwrap();
        assert!(!failed.is_empty(), "nothing has failed: {said}");
        Self { said, failed, last }
    }

    /// Checks the complaint of each step that failed, and what was found after it, between which `middle` was
    /// said.
    #[track_caller]
    fn check_failed(&self, middle: &str, is_right: impl Fn(&str, &str) -> bool) {
        for step in &self.failed {
            let parts = step.split_once(middle);
            let is_right = parts.is_some_and(|(complaint, rest)| is_right(complaint, rest));
            assert!(is_right, "{step}\nin\n{}", self.said);
        }
    }

    /// Checks that each of these was a reason to fail.
    #[track_caller]
    fn check_reasons(&self, reasons: &[&str]) {
        for reason in reasons {
            let has_it = self.failed.iter().any(|step| step.contains(reason));
            assert!(has_it, "{reason}: {}", self.said);
        }
    }
}

/// Whether the guest `web` was found to run.
fn web_runs(found: &str) -> bool {
    found.starts_with("web ") && found.ends_with(" running\n")
}

#[test]
fn an_image_that_does_not_fit_leaves_the_old_generation() {
    let dir = Dir::new();
    dir.file("small.img", vec![1; 2 << 20]);
    dir.file("large.img", vec![2; 32 << 20]);
    let Some(said) = run_on_small_disk(
        &dir,
        "$onecopy saveseg USR --from-image small.img
         $onecopy saveseg USR --from-image large.img 2>&1; echo \"exit $?\"
         $onecopy query seg --verify; echo \"exit $?\"
         $onecopy saveseg USR --from-image small.img",
    ) else {
        return;
    };
    let header = format!(
        "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE   DAX  {:20}  CHECK",
        "SAVED"
    );
    eqnice!(
        said,
        format!(
            "USR generation 1: 1 member, 4 MiB, DIR/store/segments/USR/1.seg\n\
             onecopy: Cannot copy large.img: No space left on device (os error 28)\n\
             exit 5\n\
             {header}\n\
             USR    USR     SR    1    A      0      2 MiB   2 MiB  yes  TIME  intact\n\
             exit 0\n\
             USR generation 2: 1 member, 4 MiB, DIR/store/segments/USR/2.seg\n\
             left: .lock 2.seg current \n"
        )
    );
}

#[test]
fn a_directory_that_does_not_fit_leaves_nothing() {
    if !has_mkfs() {
        return;
    }
    let dir = Dir::new();
    for index in 0..32 {
        dir.file(&format!("tree/{index}"), vec![index; 1 << 20]);
    }
    let Some(said) = run_on_small_disk(
        &dir,
        "$onecopy saveseg USR --from-dir tree 2>&1; echo \"exit $?\"
         $onecopy query seg; echo \"exit $?\"",
    ) else {
        return;
    };
    let (complaint, rest) = said
        .split_once("exit 5\n")
        .unwrap_or_else(|| panic!("{said}"));
    let start =
        "onecopy: Cannot make the image of member USR: mkfs.erofs failed (exit status: 1): ";
    assert!(complaint.starts_with(start), "{complaint}");
    assert!(complaint.contains("No space left on device"), "{complaint}");
    eqnice!(
        rest,
        "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE  DAX  SAVED\nexit 0\nleft: .lock \n"
    );
}

#[test]
fn a_guest_that_does_not_fit_goes_on_until_there_is_room() {
    let Some(host) = Host::empty() else { return };
    // The disk grows until the guest fits, so that each thing that is written is once too much.
    let savesys = host.save_arguments().join(" ");
    let script = format!(
        "$onecopy {savesys} && $onecopy ipl LX --as web || exit
         echo save | $onecopy console web >/dev/null
         {}
         $onecopy query nss --verify && $onecopy ipl WARM --as again
         $onecopy logoff again --now",
        grow(
            12,
            "$onecopy savesys WARM --running web --timeout 20",
            "ls -A store/systems/WARM; $onecopy query guests | grep -o 'web.* running'"
        )
    );
    let Some(said) = run_on_disk(&host.dir, 400, &script) else {
        return;
    };
    let steps = Steps::of(&said);
    steps.check_failed("\n.lock\n", |complaint, rest| {
        complaint.contains("No space left on device") && web_runs(rest)
    });
    steps.check_reasons(&[
        "onecopy: Cannot make room for DIR/store/",
        "onecopy: Guest web cannot be saved",
    ]);
    let last = steps.last;
    assert!(last.contains("\nWARM generation 1: 512 MiB, "), "{said}");
    assert!(!last.contains("CORRUPT"), "{said}");
    assert!(
        last.ends_with("again: started from WARM generation 1\nagain: was ended\n"),
        "{said}"
    );
}

#[test]
fn a_template_that_does_not_fit_leaves_the_old_generation() {
    let Some(host) = Host::empty() else { return };
    // The disk grows by half an image and by half the state; then it has room, but for no more files
    // than some, so that each one that is made is once too much.
    let savesys = host.save_arguments().join(" ");
    let script = format!(
        "$onecopy {savesys} || exit
         kib() {{ du -skc \"$@\" | tail -n 1 | cut -f 1; }}
         check() {{
             echo \"left: $(ls -A store/systems/LX | tr '\\n' ' ')\"
             $onecopy query nss --verify | grep -o ' CORRUPT\\| intact'
             $onecopy ipl LX --as web && $onecopy logoff web --now
         }}
         images=$(kib store/systems/LX/1/*.img) state=$(kib store/systems/LX/1/state) used=$(kib store)
         for size in $((used + images / 2)) $((used + images + state / 2)); do
             mount -o remount,size=${{size}}k store
             echo \"step $size KiB\"
             $onecopy {savesys} 2>&1 && exit
             check
         done
         mount -o remount,size=$((2 * used + 16384))k store
         set -- $(stat -f -c '%c %d' store)
         files=$(($1 - $2))
         for more in $(seq 1 16); do
             mount -o remount,nr_inodes=$((files + more)) store
             echo \"step $more files\"
             $onecopy {savesys} 2>&1 && break
             check
         done
         check"
    );
    let Some(said) = run_on_disk(&host.dir, 400, &script) else {
        return;
    };
    let steps = Steps::of(&said);
    steps.check_failed("\nleft: ", |complaint, rest| {
        complaint.contains("\nonecopy: ")
            && complaint.contains("No space left on device")
            && rest
                == ".lock 1 current \n intact\nweb: started from LX generation 1\nweb: was ended\n"
    });
    steps.check_reasons(&[
        "/ew-0.img: ",
        "QEMU cannot save the state: ",
        "/manifest.toml: ",
        "/.current: ",
    ]);
    let last = steps.last;
    assert!(last.contains("\nLX generation 2: 512 MiB, "), "{said}");
    assert!(
        last.ends_with(
            "left: .lock 2 current \n intact\nweb: started from LX generation 2\nweb: was ended\n"
        ),
        "{said}"
    );
}

#[test]
fn a_copy_of_a_guest_that_does_not_fit_leaves_nothing_and_the_guest_goes_on() {
    let Some(host) = Host::empty() else { return };
    let savesys = host.save_arguments().join(" ");
    let bytes: Vec<u8> = (0..3 << 20_u32).flat_map(u32::to_le_bytes).collect();
    host.dir.file("data.img", bytes);
    let script = format!(
        "$onecopy {savesys} && $onecopy ipl LX --as web && $onecopy saveseg DATA --from-image data.img &&
         $onecopy attach web DATA --non-shared || exit
         {}
         $onecopy query seg --verify
         $onecopy logoff web --now",
        grow(
            5,
            "$onecopy saveseg DATA --from-guest web",
            "echo \"exit $?\"; echo $(ls -A store/segments/DATA)
             $onecopy query guests | grep -o 'web.* running'"
        )
    );
    let Some(said) = run_on_disk(&host.dir, 400, &script) else {
        return;
    };
    let steps = Steps::of(&said);
    steps.check_failed("\nexit 5\n.lock 1.seg current\n", |complaint, rest| {
        let room = [
            "the disk of the store is full",
            "No space left on device (os error 28)",
        ];
        room.iter().any(|words| complaint.ends_with(words)) && web_runs(rest)
    });
    let last = steps.last;
    assert!(
        last.contains("\nDATA generation 2: 1 member, 14 MiB, "),
        "{said}"
    );
    assert_eq!(last.matches("intact").count(), 2, "{said}");
    assert!(last.ends_with("web: was ended\n"), "{said}");
}
