// SPDX-License-Identifier: GPL-2.0

//! What may become of a table.

use proptest::prelude::*;

use super::*;

fn partition(text: &str) -> PartitionName {
    text.parse().unwrap()
}

fn kernel(number: usize) -> Name {
    format!("K{number}").parse().unwrap()
}

fn table() -> Table {
    let mut table = Table::default();
    table.define(&partition("web"), kernel(1), 7).unwrap();
    table.define(&partition("a.b"), kernel(1), 7).unwrap();
    table.upgrade(&partition("web"), kernel(2), 8).unwrap();
    table
}

#[test]
fn what_is_written_is_read() {
    let text = table().to_text().unwrap();
    assert_eq!(
        text,
        "format = 1\n\
         \n\
         [partition.\"a.b\"]\n\
         kernel = \"K1\"\n\
         resources = \"a.b.toml\"\n\
         changed_unix_seconds = 7\n\
         \n\
         [partition.web]\n\
         kernel = \"K2\"\n\
         previous = \"K1\"\n\
         resources = \"web.toml\"\n\
         changed_unix_seconds = 8\n"
    );
    assert_eq!(Table::parse(&text).unwrap(), table());
    let empty = Table::default().to_text().unwrap();
    assert_eq!(Table::parse(&empty).unwrap(), Table::default());
}

#[test]
fn damage_is_found_where_it_is() {
    let text = table().to_text().unwrap();
    for (old, new, expected) in [
        ("\"K2\"", "K2", "line 9, column 10: "),
        (
            "\"K2\"",
            "\"TOOLONGNAME\"",
            "line 9, column 10: \"TOOLONGNAME\" is not a saved",
        ),
        (
            "kernel = \"K2\"\n",
            "",
            "line 8, column 1: missing field `kernel`",
        ),
        (
            "previous",
            "prev",
            "line 10, column 1: unknown field `prev`",
        ),
        (
            "\"web.toml\"",
            "\"../x.toml\"",
            "line 11, column 13: \"../x.toml\" is not the name",
        ),
        (
            "\"web.toml\"",
            "\".toml\"",
            "line 11, column 13: \".toml\" is not the name",
        ),
        (
            "[partition.web]",
            "[partition.\"../web\"]",
            "line 8, column 12: \"../web\" is not",
        ),
        (
            "[partition.web]",
            "[partition.\"a.b\"]",
            "line 8, column 12: ",
        ),
        ("format = 1", "format = 9", "it has format 9, not 1"),
    ] {
        let error = Table::parse(&text.replacen(old, new, 1)).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{new}: {error}");
    }
}

#[test]
fn states_that_do_not_allow_it_are_refused() {
    let mut table = table();
    let said = |result: Result<()>| result.unwrap_err().to_string();
    assert_eq!(
        said(table.define(&partition("web"), kernel(3), 9)),
        "There is a partition web already; --replace gives it other resources, and the verb \
         partition upgrade another kernel"
    );
    assert_eq!(
        said(table.rollback(&partition("a.b"), 9)),
        "Partition a.b has nothing to be rolled back to: it has had K1 since it was defined or \
         rolled back"
    );
    assert_eq!(
        said(table.rollback(&partition("db"), 9)),
        "There is no partition db; there are: a.b, web"
    );
    assert_eq!(table, self::table());
}

#[test]
fn only_what_was_expected_is_restored() {
    let (mut table, web) = (table(), partition("web"));
    let [old, new] = [7, 8].map(|now| Entry {
        changed_unix_seconds: now,
        ..table.entry(&web).unwrap().clone()
    });
    assert!(!table.restore(&web, &old, new.clone()));
    assert!(table.restore(&web, &new, old.clone()));
    assert_eq!(table.entry(&web).unwrap(), &old);
    assert!(!table.restore(&partition("db"), &old, new));
}

proptest! {
    #[test]
    fn an_upgrade_changes_the_kernel_only_and_a_rollback_undoes_it(
        kernels in proptest::collection::vec(0_usize..4, 1..12),
    ) {
        let mut table = table();
        let (web, other) = (partition("web"), partition("a.b"));
        for (now, number) in kernels.into_iter().enumerate() {
            let now = 100 + now as u64;
            let before = table.entry(&web).unwrap().clone();
            let bystander = table.entry(&other).unwrap().clone();
            let changed = table.upgrade(&web, kernel(number), now).unwrap();
            let after = table.entry(&web).unwrap().clone();
            prop_assert_eq!(changed, before.kernel != kernel(number));
            prop_assert_eq!(after.kernel, kernel(number));
            prop_assert_eq!(&after.resources, &before.resources);
            prop_assert_eq!(table.entry(&other).unwrap(), &bystander);
            let mut undone = table.clone();
            if changed {
                prop_assert_eq!(after.previous, Some(before.kernel));
                undone.rollback(&web, now).unwrap();
                prop_assert_eq!(undone.entry(&web).unwrap().kernel, before.kernel);
                prop_assert!(undone.rollback(&web, now).is_err());
            } else {
                prop_assert_eq!(after, before);
            }
            let text = table.to_text().unwrap();
            prop_assert_eq!(Table::parse(&text).unwrap(), table.clone());
        }
    }
}
