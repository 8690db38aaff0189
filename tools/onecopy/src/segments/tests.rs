// SPDX-License-Identifier: GPL-2.0

//! Tests of [`super`].

use super::*;

fn candidate(name: &str, members: &[&str]) -> Candidate {
    Candidate {
        name: name.parse().unwrap(),
        group: Group::default(),
        members: members
            .iter()
            .map(|member| member.parse().unwrap())
            .collect(),
        path: PathBuf::from(format!("/{name}/1.seg")),
        size_bytes: 4 << 20,
        access: Ok(Access::ReadOnly),
    }
}

fn attach(wanted: &[&str], root: Option<&str>) -> Result<(Vec<String>, String), String> {
    let candidates = [
        candidate("ROOT", &["ROOT"]),
        candidate("TOOLS", &["PY", "GCC", "ROOT"]),
        candidate("OLD", &["PY"]),
    ];
    let wanted: Vec<Wanted> = wanted.iter().map(|text| text.parse().unwrap()).collect();
    let attachment = Attachment::new(
        &candidates,
        &wanted,
        root.map(|name| name.parse().unwrap()),
        &Group::default(),
    )
    .map_err(|error| error.to_string())?;
    let paths = attachment
        .devices
        .iter()
        .map(|device| device.path.display().to_string())
        .collect();
    Ok((paths, attachment.parameters.join(" ")))
}

#[test]
fn a_segment_space_is_attached_with_all_its_members() {
    let (devices, parameters) = attach(&["tools"], None).unwrap();
    assert_eq!(devices, ["/TOOLS/1.seg"]);
    assert_eq!(parameters, "dcss.segments=PY,GCC,ROOT");
}

#[test]
fn members_share_the_device_of_their_segment_space() {
    let (devices, parameters) = attach(&["GCC", "PY:GCC"], None).unwrap();
    assert_eq!(devices, ["/TOOLS/1.seg"]);
    assert_eq!(parameters, "dcss.segments=GCC,PY:GCC");
}

#[test]
fn the_root_is_a_segment_too_and_listed_once() {
    let (devices, parameters) = attach(&["ROOT"], Some("ROOT")).unwrap();
    assert_eq!(devices, ["/ROOT/1.seg"]);
    assert_eq!(
        parameters,
        "dcss.segments=ROOT root=/dev/dcss/ROOT rootfstype=erofs rootflags=dax=always ro"
    );
}

#[test]
fn nothing_wanted_is_nothing_attached() {
    assert_eq!(attach(&[], None).unwrap(), (vec![], String::new()));
}

#[test]
fn a_missing_segment_is_reported_with_what_exists() {
    assert_eq!(
        attach(&["NOSUCH"], None).unwrap_err(),
        "There is no segment NOSUCH; there are: ROOT (ROOT), TOOLS (PY GCC ROOT), OLD (PY)"
    );
    assert!(attach(&["ROOT:PY:X"], None).is_err());
}

#[test]
fn a_member_of_several_segment_spaces_is_ambiguous() {
    assert_eq!(
        attach(&["PY"], None).unwrap_err(),
        "Segment PY is in several segment spaces: TOOLS, OLD; name the segment space"
    );
}

#[test]
fn a_name_that_the_guest_would_find_in_another_segment_space_is_refused() {
    for (wanted, root) in [
        (&["TOOLS"][..], Some("ROOT")),
        (&["GCC"], Some("ROOT")),
        (&["ROOT", "TOOLS"], None),
    ] {
        assert_eq!(
            attach(wanted, root).map_err(|error| error.replace("TOOLS, ROOT", "ROOT, TOOLS")),
            Err(
                "Segment ROOT is in several of the segment spaces to attach: ROOT, TOOLS; \
                 the guest would take either"
                    .to_owned()
            ),
            "{wanted:?} {root:?}"
        );
    }
    assert!(attach(&["OLD", "GCC"], None)
        .unwrap_err()
        .contains("Segment PY is in"));
    attach(&["GCC"], Some("GCC")).unwrap();
}

#[test]
fn a_list_that_the_driver_would_not_take_is_refused() {
    let names: Vec<String> = (0..45).map(|number| format!("MEMBER{number:02}")).collect();
    let members = |count| {
        names
            .iter()
            .take(count)
            .map(String::as_str)
            .collect::<Vec<_>>()
    };
    let attach = |count| {
        let candidates = [candidate("MANY", &members(count))];
        Attachment::new(
            &candidates,
            &["MANY".parse().unwrap()],
            None,
            &Group::default(),
        )
    };
    let list = attach(44).unwrap().parameters.join("");
    assert_eq!(list.len(), "dcss.segments=".len() + 44 * 9 - 1);
    assert_eq!(attach(45), Err(SegmentError::TooLong { found: 404 }));
}

#[test]
fn only_segments_of_the_guests_own_trust_group_are_attached() {
    let group = |text: &str| text.parse::<Group>().unwrap();
    let mut candidates = [candidate("USR", &["USR"]), candidate("OPT", &["OPT"])];
    candidates[1].group = group("a");
    let attach = |wanted: &[&str], guest: &str| {
        let wanted: Vec<Wanted> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        let attached = Attachment::new(&candidates, &wanted, None, &group(guest));
        attached.map_err(|error| error.to_string())
    };
    attach(&["USR"], "default").unwrap();
    attach(&["OPT"], "a").unwrap();
    for (wanted, guest, space, found) in [
        (&["OPT"][..], "default", "OPT", "a"),
        (&["USR"], "a", "USR", "default"),
        (&["OPT", "USR"], "a", "USR", "default"),
    ] {
        let expected = format!(
            "Segment space {space} is of trust group {found}, and the guest of {guest}: guests share pages \
             with those of their own group only"
        );
        assert_eq!(attach(wanted, guest).unwrap_err(), expected);
    }
}

#[test]
fn what_is_named_as_its_segment_space_needs_no_look_at_others() {
    let candidates = [
        candidate("ROOT", &["ROOT"]),
        candidate("TOOLS", &["PY", "GCC"]),
    ];
    let are_named = |wanted: &[&str], root: Option<&str>| {
        let wanted: Vec<Wanted> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        are_named(&candidates, &wanted, root.map(|name| name.parse().unwrap()))
    };
    for (wanted, root) in [
        (&["ROOT"][..], None),
        (&["TOOLS", "ROOT"], None),
        (&["TOOLS"], Some("ROOT")),
        (&[], Some("ROOT")),
    ] {
        assert!(are_named(wanted, root), "{wanted:?} {root:?}");
    }
    for (wanted, root) in [
        (&["PY"][..], None),
        (&["TOOLS", "GCC"], None),
        (&["ROOT:PY"], None),
        // The root is a member, and TOOLS has none of that name.
        (&[], Some("TOOLS")),
    ] {
        assert!(!are_named(wanted, root), "{wanted:?} {root:?}");
    }
}
