// SPDX-License-Identifier: GPL-2.0

//! `vm.cmm_pages`, `vm.cmm_timed_pages`, `vm.cmm_timeout`, as in the CMM module for s390.

use crate::{
    balloon::Balloon,
    reuse::Reuse, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::Arc,
    sysctl::{
        File,
        Table,
        Value, //
    }, //
};

/// Registers the files for `balloon`.
pub(crate) fn register(balloon: &Arc<Balloon>) -> Result<Table> {
    let mut files = KVec::with_capacity(3, GFP_KERNEL)?;
    let mut add =
        |name, value: Arc<dyn Value>| files.push(File::new(name, 0o644, value), GFP_KERNEL);

    add(
        c"cmm_pages",
        Arc::new(StaticPages(balloon.clone()), GFP_KERNEL)?,
    )?;
    add(
        c"cmm_timed_pages",
        Arc::new(TimedPages(balloon.clone()), GFP_KERNEL)?,
    )?;
    add(
        c"cmm_timeout",
        Arc::new(Timeout(balloon.clone()), GFP_KERNEL)?,
    )?;
    Table::register(c"vm", files)
}

/// Reading says what the static pool holds, writing sets what it is to hold.
struct StaticPages(Arc<Balloon>);

impl Value for StaticPages {
    fn show(&self, to: &mut fmt::Formatter<'_>) -> Result {
        write!(to, "{}", self.0.held().fixed)?;
        Ok(())
    }

    fn store(&self, text: &str) -> Result {
        self.0.shrink(number(text)?);
        Ok(())
    }
}

/// Reading says what the timed pool holds, writing adds to what it is to hold.
struct TimedPages(Arc<Balloon>);

impl Value for TimedPages {
    fn show(&self, to: &mut fmt::Formatter<'_>) -> Result {
        write!(to, "{}", self.0.held().timed)?;
        Ok(())
    }

    fn store(&self, text: &str) -> Result {
        self.0.release(number(text)?);
        Ok(())
    }
}

/// Pages and seconds: how the timed pool gives pages back.
struct Timeout(Arc<Balloon>);

impl Value for Timeout {
    fn show(&self, to: &mut fmt::Formatter<'_>) -> Result {
        let reuse = self.0.with(|state| state.reuse);

        write!(to, "{} {}", reuse.pages, reuse.seconds)?;
        Ok(())
    }

    fn store(&self, text: &str) -> Result {
        self.0.set_reuse(reuse(text)?);
        Ok(())
    }
}

/// Parses `PAGES SECONDS`; without the second number the timer stops, as on s390.
fn reuse(text: &str) -> Result<Reuse> {
    let mut words = text.split_ascii_whitespace();
    let (Some(pages), seconds, None) = (words.next(), words.next(), words.next()) else {
        return Err(EINVAL);
    };

    Ok(Reuse {
        pages: number(pages)?,
        seconds: seconds.map_or(Ok(0), number)?,
    })
}

/// Parses a number, decimal, hexadecimal with `0x` or octal with `0`.
fn number(text: &str) -> Result<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };

    // The parser accepts a sign.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return Err(EINVAL);
    }
    u64::from_str_radix(digits, radix).map_err(|_| EINVAL)
}

#[cfg(CONFIG_VIRTIO_CMM_KUNIT_TEST)]
#[kernel::macros::kunit_tests(cmm_sysctl)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_usual_prefixes() {
        for (text, value) in [("0", 0), ("42", 42), ("0x2a", 42), ("052", 42), ("00", 0)] {
            assert_eq!(number(text), Ok(value));
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "-1",
            "+1",
            "0x",
            "0x-1",
            "08",
            "1 2",
            "18446744073709551616",
            "a",
        ] {
            assert_eq!(number(text), Err(EINVAL));
        }
    }

    #[test]
    fn a_timeout_is_two_numbers() {
        assert_eq!(
            reuse(" 100 \t 0x10 "),
            Ok(Reuse {
                pages: 100,
                seconds: 16
            })
        );
        assert_eq!(
            reuse("100"),
            Ok(Reuse {
                pages: 100,
                seconds: 0
            })
        );
        for text in ["", "1 2 3", "1,2", "one two"] {
            assert_eq!(reuse(text), Err(EINVAL));
        }
    }
}
