// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Names, types and checksums.

use onecopy_format::segment_space::{
    crc32c,
    Name,
    NameError,
    SegmentType, //
};

#[test]
fn names_are_upper_cased() {
    for (input, expected) in [
        ("usr", "USR"),
        ("a", "A"),
        ("_", "_"),
        ("8chars-x", "8CHARS-X"),
        ("PY3_12", "PY3_12"),
    ] {
        let name = Name::new(input.as_bytes()).unwrap();
        assert_eq!(name.as_str(), expected);
        assert_eq!(name.as_bytes(), expected.as_bytes());
        assert_eq!(name.to_string(), expected);
        assert_eq!(input.parse(), Ok(name));
    }
}

#[test]
fn names_can_be_aligned_and_debugged() {
    let name = Name::new(b"usr").unwrap();
    assert_eq!(
        format!("{name:<8}|{name:>5}|{name:?}"),
        "USR     |  USR|Name(\"USR\")"
    );
}

#[test]
fn names_of_a_bad_length_are_too_long() {
    for (input, found_bytes) in [(&b"NINECHARS"[..], 9), (b"//////////", 10)] {
        let error = Name::new(input).unwrap_err();
        assert_eq!(error, NameError::TooLong { found_bytes });
        assert_eq!(error.errno(), 36);
        assert_eq!(
            error.to_string(),
            format!("name has {found_bytes} characters, at most 8 fit")
        );
    }
    assert_eq!(Name::new(b""), Err(NameError::Empty));
    assert_eq!(NameError::Empty.errno(), 36);
}

#[test]
fn every_byte_that_names_do_not_have_is_refused() {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    for byte in (0..=255).filter(|byte| !allowed(byte)) {
        let error = Name::new(&[b'A', byte]).unwrap_err();
        assert_eq!(error, NameError::BadCharacter { position: 1, byte });
        assert_eq!(error.errno(), 22);
    }
    assert_eq!(Name::new(b"-A"), Err(NameError::LeadingHyphen));
    assert_eq!(NameError::LeadingHyphen.errno(), 22);
}

#[test]
fn names_sort_like_their_strings() {
    let mut names = ["B", "AB", "A", "A-", "A_", "A0"].map(|name| name.parse::<Name>().unwrap());
    names.sort_unstable();
    assert_eq!(
        names.map(|name| name.to_string()),
        ["A", "A-", "A0", "AB", "A_", "B"]
    );
}

#[test]
fn types_have_the_codes_of_the_s390_segment_interface() {
    // Code, keyword, read-only, shared, saved.
    let table = [
        (0, "SW", false, true, true),
        (1, "EW", false, false, true),
        (2, "SR", true, true, true),
        (3, "ER", true, false, true),
        (4, "SN", false, true, false),
        (5, "EN", false, false, false),
        (6, "SC", true, true, true),
    ];
    for (code, keyword, read_only, shared, saved) in table {
        let kind = SegmentType::from_code(code).unwrap();
        assert_eq!(kind.code(), code);
        assert_eq!(kind.to_string(), keyword);
        assert_eq!(
            (kind.read_only(), kind.shared(), kind.saved()),
            (read_only, shared, saved)
        );
        assert_eq!(SegmentType::from_keyword(keyword), Some(kind));
        assert_eq!(
            SegmentType::from_keyword(&keyword.to_lowercase()),
            Some(kind)
        );
    }
    for code in 7..=255 {
        assert_eq!(SegmentType::from_code(code), None);
    }
    for keyword in ["", "S", "SX", "SRR", "EWEN"] {
        assert_eq!(SegmentType::from_keyword(keyword), None);
    }
}

#[test]
fn checksums_are_those_of_rfc_3720() {
    let ascending: Vec<u8> = (0..32).collect();
    let descending: Vec<u8> = (0..32).rev().collect();
    for (bytes, expected) in [
        (&[][..], 0),
        (&[0; 32], 0x8a91_36aa),
        (&[0xff; 32], 0x62a8_ab43),
        (&ascending, 0x46dd_794e),
        (&descending, 0x113f_db5c),
        (b"123456789", 0xe306_9283),
    ] {
        assert_eq!(crc32c(bytes), expected, "{bytes:02x?}");
    }
}
