// SPDX-License-Identifier: GPL-2.0

//! The file of a configuration. People write it, so complaints name the place.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use onecopy_directory::Misplaced;
use serde::de::Error;
use serde::Deserialize;
use serde::Deserializer;
use toml::Spanned;

use super::Config;
use super::Pattern;
use super::PatternError;
use crate::amount::Amount;
use crate::amount::Percent;
use crate::policy::GuestRules;

/// How long a round may take at most, in seconds.
const MAX_INTERVAL: u64 = 3600;

/// The largest weight.
const MAX_WEIGHT: u32 = 1000;

/// A value that is written as text.
#[derive(Debug, Clone)]
struct Text<T>(T);

impl<'a, T: FromStr<Err: Display>> Deserialize<'a> for Text<T> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

type Placed<T> = Option<Spanned<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    host: Host,
    notify: Notify,
    default: Guest,
    guest: Vec<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Host {
    root: Placed<PathBuf>,
    cgroup: Placed<PathBuf>,
    interval: Placed<u64>,
    low: Placed<Text<Amount>>,
    high: Placed<Text<Amount>>,
    ease: Placed<Text<Amount>>,
    squeeze_pressure: Placed<Text<Percent>>,
    ease_pressure: Placed<Text<Percent>>,
    ease_rounds: Option<u32>,
    step: Option<Text<Amount>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Notify {
    /// With places of their own: those of errors in elements are those of the whole list.
    memory: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Guest {
    floor: Option<Text<Amount>>,
    headroom: Option<Text<Amount>>,
    weight: Placed<u32>,
}

/// As [`Guest`]: flattened fields would have no places.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: Text<Pattern>,
    floor: Option<Text<Amount>>,
    headroom: Option<Text<Amount>>,
    weight: Placed<u32>,
}

/// Something wrong at a place of the text, in bytes.
type Complaint = (Range<usize>, String);

/// Reads the text of a configuration.
pub(super) fn parse(text: &str) -> Result<Config, Misplaced> {
    let file: File = toml::from_str(text).map_err(|error| Misplaced::of(&error, text))?;
    file.config()
        .map_err(|(span, message)| Misplaced::at(span.start, text, message))
}

impl File {
    fn config(self) -> Result<Config, Complaint> {
        let mut config = Config::default();
        let default = self.default;
        config.default = guest_rules(
            config.default,
            default.floor,
            default.headroom,
            default.weight,
        )?;
        for named in self.guest {
            let Text(pattern) = named.name;
            let rules = guest_rules(config.default, named.floor, named.headroom, named.weight)?;
            config.guests.push((pattern, rules));
        }
        if let Some(memory) = self.notify.memory {
            let patterns = memory.into_iter().map(|word| {
                let pattern = word.as_ref().parse();
                pattern.map_err(|error: PatternError| (word.span(), error.to_string()))
            });
            config.notify = patterns.collect::<Result<_, _>>()?;
        }
        self.host.apply(&mut config)?;
        Ok(config)
    }
}

fn guest_rules(
    default: GuestRules,
    floor: Option<Text<Amount>>,
    headroom: Option<Text<Amount>>,
    weight: Placed<u32>,
) -> Result<GuestRules, Complaint> {
    let weight = checked(weight, |weight| match weight {
        1..=MAX_WEIGHT => Ok(weight),
        _ => Err(format!("a weight is 1 to {MAX_WEIGHT}")),
    })?;
    Ok(GuestRules {
        floor: floor.map_or(default.floor, |Text(floor)| floor),
        headroom: headroom.map_or(default.headroom, |Text(headroom)| headroom),
        weight: weight.unwrap_or(default.weight),
    })
}

impl Host {
    fn apply(self, config: &mut Config) -> Result<(), Complaint> {
        self.check_order(config)?;
        let host = &mut config.host;
        set_text(&mut host.low, self.low);
        set_text(&mut host.high, self.high);
        set_text(&mut host.ease, self.ease);
        set_text(&mut host.squeeze_pressure, self.squeeze_pressure);
        set_text(&mut host.ease_pressure, self.ease_pressure);
        host.ease_rounds = self.ease_rounds.unwrap_or(host.ease_rounds);
        if let Some(Text(step)) = self.step {
            host.step = step;
        }
        let interval = checked(self.interval, |seconds| match seconds {
            1..=MAX_INTERVAL => Ok(Duration::from_secs(seconds)),
            _ => Err(format!("an interval is 1 to {MAX_INTERVAL} seconds")),
        })?;
        config.interval = interval.unwrap_or(config.interval);
        if let Some(root) = checked(self.root, absolute)? {
            config.root = root;
        }
        config.cgroup = checked(self.cgroup, |path| inside(&path))?;
        Ok(())
    }

    /// The marks must be in ascending order where that can be seen.
    fn check_order(&self, config: &Config) -> Result<(), Complaint> {
        let value = |placed: &Placed<Text<Amount>>, default| {
            placed
                .as_ref()
                .map_or(default, |spanned| spanned.as_ref().0)
        };
        let span = |placed: &Placed<Text<Amount>>| placed.as_ref().map(Spanned::span);
        let low = value(&self.low, config.host.low);
        let high = value(&self.high, config.host.high);
        let ease = value(&self.ease, config.host.ease);
        for (one, other, places, words) in [
            (
                low,
                high,
                [&self.high, &self.low],
                "low must not be above high",
            ),
            (
                high,
                ease,
                [&self.ease, &self.high],
                "high must not be above ease",
            ),
        ] {
            if is_above(one, other) {
                let place = places.into_iter().find_map(span).unwrap_or(0..0);
                return Err((place, format!("{words}: {one} and {other}")));
            }
        }
        let pressure = |placed: &Placed<Text<Percent>>, default| {
            placed
                .as_ref()
                .map_or(default, |spanned| spanned.as_ref().0)
        };
        let squeeze = pressure(&self.squeeze_pressure, config.host.squeeze_pressure);
        let calm = pressure(&self.ease_pressure, config.host.ease_pressure);
        if calm > squeeze {
            let places = [&self.ease_pressure, &self.squeeze_pressure].into_iter();
            let place = places.flatten().map(Spanned::span).next().unwrap_or(0..0);
            let words =
                format!("ease_pressure must not be above squeeze_pressure: {calm} and {squeeze}");
            return Err((place, words));
        }
        Ok(())
    }
}

/// Whether one amount is above another one whatever they are part of.
fn is_above(one: Amount, other: Amount) -> bool {
    match (one, other) {
        (Amount::Bytes(one), Amount::Bytes(other)) => one > other,
        (Amount::Share(one), Amount::Share(other)) => one > other,
        _ => false,
    }
}

fn set_text<T>(value: &mut T, placed: Placed<Text<T>>) {
    if let Some(spanned) = placed {
        *value = spanned.into_inner().0;
    }
}

/// Checks a value, and says where it is if it is wrong.
fn checked<T, U>(
    placed: Placed<T>,
    check: impl FnOnce(T) -> Result<U, String>,
) -> Result<Option<U>, Complaint> {
    let Some(spanned) = placed else {
        return Ok(None);
    };
    let span = spanned.span();
    let value = check(spanned.into_inner()).map_err(|message| (span, message))?;
    Ok(Some(value))
}

fn absolute(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("an absolute path is expected".to_owned())
    }
}

/// Makes the path of a group relative to where groups are, and keeps it in there.
fn inside(path: &Path) -> Result<PathBuf, String> {
    use std::path::Component;

    let path = path.strip_prefix("/").unwrap_or(path);
    let is_normal = |component| matches!(component, Component::Normal(_));
    if path == Path::new("") || !path.components().all(is_normal) {
        return Err("a path below /sys/fs/cgroup without . and .. is expected".to_owned());
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Rules;

    fn wrong(text: &str) -> String {
        let wrong = parse(text).unwrap_err();
        format!("{}:{}: {}", wrong.line, wrong.column, wrong.message)
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(parse("").unwrap(), Config::default());
        assert_eq!(
            parse("[host]\n[notify]\n[default]\n").unwrap(),
            Config::default()
        );
    }

    #[test]
    fn the_first_pattern_that_fits_counts() {
        let config = parse(
            "[host]\ncgroup = \"/machine.slice/a\"\ninterval = 2\nlow = \"1G\"\n\
             [notify]\nmemory = [\"web*\", \"db\"]\n\
             [default]\nfloor = \"100M\"\n\
             [[guest]]\nname = \"web1\"\nweight = 4\n\
             [[guest]]\nname = \"web*\"\nfloor = \"50%\"\nheadroom = \"0\"\n",
        )
        .unwrap();
        assert_eq!(config.cgroup.as_deref(), Some(Path::new("machine.slice/a")));
        assert_eq!(config.interval, Duration::from_secs(2));
        assert_eq!(config.host.low, Amount::Bytes(1 << 30));
        assert_eq!(config.guest("mail"), None);
        let floor = Amount::Bytes(100 << 20);
        assert_eq!(
            config.guest("db").map(|rules| (rules.floor, rules.weight)),
            Some((floor, 1))
        );
        assert_eq!(
            config
                .guest("web1")
                .map(|rules| (rules.floor, rules.weight)),
            Some((floor, 4))
        );
        let web2 = config.guest("web2").unwrap();
        assert_eq!(
            (web2.floor, web2.headroom),
            (Amount::share(5000), Amount::Bytes(0))
        );
        assert_eq!(config.named_guests(), ["db", "web1"]);
    }

    #[test]
    fn complaints_name_the_place() {
        for (text, expected) in [
            ("[host\n", "1:6: "),
            (
                "[host]\nlow = 5\n",
                "2:7: invalid type: integer `5`, expected a string",
            ),
            (
                "[host]\n low = \"5\"\n",
                "2:8: \"5\" is not a size such as \"512M\", nor a share",
            ),
            ("[hots]\n", "1:2: unknown field `hots`"),
            (
                "[host]\nlow = \"1%\"\nhihg = \"2%\"\n",
                "3:1: unknown field `hihg`",
            ),
            (
                "[host]\nlow = \"20%\"\nhigh = \"10%\"\n",
                "3:8: low must not be above high: 20% and 10%",
            ),
            (
                "[host]\nlow = \"16%\"\n",
                "2:7: low must not be above high: 16% and 15%",
            ),
            (
                "[host]\nhigh = \"21%\"\n",
                "2:8: high must not be above ease: 21% and 20%",
            ),
            (
                "[host]\nease_pressure = \"11%\"\n",
                "2:17: ease_pressure must not be above",
            ),
            (
                "[host]\ninterval = 0\n",
                "2:12: an interval is 1 to 3600 seconds",
            ),
            (
                "[host]\nroot = \"x\"\n",
                "2:8: an absolute path is expected",
            ),
            (
                "[host]\ncgroup = \"/a/../b\"\n",
                "2:10: a path below /sys/fs/cgroup",
            ),
            (
                "[host]\ncgroup = \"/\"\n",
                "2:10: a path below /sys/fs/cgroup",
            ),
            (
                "[notify]\nmemory = [\"a\", \"b c\"]\n",
                "2:16: \"b c\" is not a name or pattern",
            ),
            ("[default]\nweight = 0\n", "2:10: a weight is 1 to 1000"),
            ("\n[[guest]]\nfloor = \"1M\"\n", "2:1: missing field `name`"),
            ("[[guest]]\nname = \"a\"\nweight = -1\n", "3:10: "),
            ("[host]\nlow = \"\u{e4}\" 5\n", "2:11: "),
        ] {
            let found = wrong(text);
            assert!(found.starts_with(expected), "{text:?}: {found}");
            assert!(!found.contains('\n'), "{found}");
        }
    }
}
