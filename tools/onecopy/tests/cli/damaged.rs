// SPDX-License-Identifier: GPL-2.0

//! Records of guests that are not understood: a crash or a later version may leave such.

use std::fs;

use crate::saved::Host;
use crate::schema::conforming;
use crate::util::eqnice;

#[test]
fn a_guest_whose_record_is_not_understood_is_neither_hidden_nor_replaced() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    for name in ["db", "web"] {
        dir.ok(&["ipl", "LX", "--as", name]);
    }
    let record = dir.path("run/guests/web/guest.toml");
    let text = fs::read_to_string(&record).unwrap();
    for (damaged, start) in [
        (String::new(), "line 1, column 1: missing field `guest`"),
        (
            format!("later = 1\n{text}"),
            "line 1, column 1: unknown field `later`, expected ",
        ),
    ] {
        fs::write(&record, &damaged).unwrap();
        let expected = format!(
            "DIR/run/guests/web/guest.toml is not understood, and its guest may run; use the version of onecopy that \
             started it, or end its QEMU and remove the directory: {start}"
        );
        for args in [
            ["ipl", "LX", "--as", "web"].as_slice(),
            &["logoff", "web", "--now"],
            &["console", "web"],
            &["smsg", "web", "CMM SHRINK 1"],
        ] {
            let ran = dir.run(args);
            assert_eq!(ran.code, Some(6), "{args:?}: {ran:?}");
            let expected = format!("onecopy: {expected}");
            assert!(ran.stderr.starts_with(&expected), "{args:?}: {ran:?}");
        }

        let ran = dir.run(&["query", "guests"]);
        assert_eq!(ran.code, Some(6), "{ran:?}");
        assert!(ran.stdout.contains("\ndb "), "{ran:?}");
        assert!(ran.stderr.starts_with(&format!("onecopy: web: {expected}")));
        let ran = dir.run(&["query", "guests", "--json"]);
        assert_eq!(ran.code, Some(6), "{ran:?}");
        let listed = conforming("query guests", &ran.stdout);
        assert_eq!(listed["guests"][0]["name"], "db");
        assert_eq!(listed["invalid"][0]["name"], "web");
        let error = listed["invalid"][0]["error"].as_str().unwrap();
        assert!(error.starts_with(&expected), "{error}");

        let ran = dir.run(&["doctor", "--clean"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(&expected), "{ran:?}");
        assert_eq!(fs::read_to_string(&record).unwrap(), damaged);
        assert_eq!(host.emulators().len(), 2, "it still runs, and only once");
    }
    fs::write(&record, text).unwrap();
    assert_eq!(host.ready_guests(), ["db", "web"]);
    eqnice!(dir.ok(&["logoff", "web", "--now"]), "web: was ended\n");
}
