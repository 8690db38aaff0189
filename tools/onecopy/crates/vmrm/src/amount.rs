// SPDX-License-Identifier: GPL-2.0

//! Amounts of memory and shares of it, as people write them.

use std::fmt;
use std::str::FromStr;

/// How many hundredths of a percent everything is.
const ALL_HUNDREDTHS: u32 = 10_000;

/// The units of sizes; each is 1024 times the one before.
const UNITS: &str = "KMGT";

/// A share, in hundredths of a percent: `0%` to `100%`, with up to two decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u32);

/// A size, or a share of one that is known later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many bytes: a number with K, M, G or T, which are powers of 1024; or zero.
    Bytes(u64),
    /// That much of the whole.
    Share(Percent),
}

/// A text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// It is no share.
    #[error("{0:?} is not a share such as \"12.5%\", up to \"100%\"")]
    Percent(String),
    /// It is no size.
    #[error("{0:?} is not a size such as \"512M\", nor a share such as \"12.5%\"")]
    Size(String),
}

impl Percent {
    /// Makes a share of hundredths of a percent; more than all are all.
    pub const fn hundredths(hundredths: u32) -> Self {
        if hundredths > ALL_HUNDREDTHS {
            Self(ALL_HUNDREDTHS)
        } else {
            Self(hundredths)
        }
    }

    /// Returns the hundredths of a percent.
    pub const fn to_hundredths(self) -> u32 {
        self.0
    }

    /// Returns that much of something.
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.0) / u128::from(ALL_HUNDREDTHS);
        u64::try_from(part).unwrap_or(whole)
    }
}

impl Amount {
    /// Makes a share of hundredths of a percent.
    pub const fn share(hundredths: u32) -> Self {
        Self::Share(Percent::hundredths(hundredths))
    }

    /// Returns the bytes, of a whole of so many.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Share(percent) => percent.of(whole),
        }
    }
}

impl FromStr for Percent {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let error = || AmountError::Percent(text.to_owned());
        let number = text.strip_suffix('%').ok_or_else(error)?;
        hundredths(number)
            .filter(|&hundredths| hundredths <= ALL_HUNDREDTHS)
            .map(Self)
            .ok_or_else(error)
    }
}

/// Reads a decimal number with at most two decimals as hundredths.
pub(crate) fn hundredths(number: &str) -> Option<u32> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 2 {
        return None;
    }
    let decimals = format!("{decimals:0<2}");
    whole
        .parse::<u32>()
        .ok()?
        .checked_mul(100)?
        .checked_add(decimals.parse().ok()?)
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text.ends_with('%') {
            return text.parse().map(Self::Share);
        }
        size(text)
            .map(Self::Bytes)
            .ok_or_else(|| AmountError::Size(text.to_owned()))
    }
}

fn size(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let unit = text.chars().last()?.to_ascii_uppercase();
    let power = u32::try_from(UNITS.find(unit)?).ok()? + 1;
    let number = text.get(..text.len() - 1)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(1 << (10 * power))
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 100, self.0 % 100);
        if decimals == 0 {
            write!(f, "{whole}%")
        } else {
            write!(f, "{whole}.{decimals:02}%")
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(0) => f.write_str("0"),
            Self::Bytes(bytes) => {
                let units = [(40, 'T'), (30, 'G'), (20, 'M')];
                let exact = units.iter().find(|(shift, _)| bytes % (1 << shift) == 0);
                // Whoever makes bytes that no unit divides sees them rounded up.
                let (shift, unit) = exact.unwrap_or(&(10, 'K'));
                write!(f, "{}{unit}", bytes.div_ceil(1 << shift))
            }
            Self::Share(percent) => percent.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Option<Amount> {
        text.parse().ok()
    }

    #[test]
    fn sizes_have_units_and_shares_a_percent_sign() {
        assert_eq!(amount("512M"), Some(Amount::Bytes(512 << 20)));
        assert_eq!(amount("1g"), Some(Amount::Bytes(1 << 30)));
        assert_eq!(amount("0"), Some(Amount::Bytes(0)));
        assert_eq!(amount("12.5%"), Some(Amount::share(1250)));
        assert_eq!(amount("100%"), Some(Amount::share(10_000)));
        for text in [
            "",
            "%",
            "5",
            "M",
            "-1M",
            "+1M",
            "1.5G",
            "1Q",
            "99999999999T",
            "5µ",
            "-1%",
            "100.01%",
            "1.234%",
            "1.%",
            ".5%",
            "NaN%",
            "1e1%",
        ] {
            assert_eq!(amount(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_as_they_are_written() {
        for text in ["512M", "1G", "0", "1025K", "12.50%", "3%", "0.05%"] {
            assert_eq!(amount(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_share_of_the_largest_whole_is_exact() {
        assert_eq!(Percent::hundredths(10_000).of(u64::MAX), u64::MAX);
        assert_eq!(Amount::share(1).of(20_000), 2);
        assert_eq!(Amount::Bytes(7).of(3), 7);
        assert_eq!(Percent::hundredths(20_000), Percent::hundredths(10_000));
    }
}
