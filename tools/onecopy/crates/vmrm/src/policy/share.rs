// SPDX-License-Identifier: GPL-2.0

//! Dividing an amount among those who have a limit each.

use std::cmp::Ordering;

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Portion {
    /// The most that it can have.
    pub(super) cap: u64,
    /// What its share is in proportion to, as long as that is below its limit. Nobody with a limit
    /// has none.
    pub(super) ratio: u64,
}

/// Divides an amount in whole numbers: all of it, or as much as the limits allow.
///
/// Everybody gets `ratio * level` or the limit, whichever is less, with one level for all, rounded
/// so that the sum is right.
pub(super) fn share(amount: u64, portions: &[Portion]) -> Vec<u64> {
    let mut given: Vec<u64> = portions.iter().map(|_| 0).collect();
    let mut order: Vec<(usize, Portion)> = portions
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, portion)| portion.cap > 0 && portion.ratio > 0)
        .collect();
    // Who reaches the limit at the lowest level comes first.
    order.sort_by(|(_, one), (_, other)| compare_levels(one, other));

    let mut left = u128::from(amount);
    let mut ratios: u128 = order.iter().map(|(_, p)| u128::from(p.ratio)).sum();
    let mut rest = order.as_slice();
    while let Some((&(index, portion), others)) = rest.split_first() {
        let (cap, ratio) = (u128::from(portion.cap), u128::from(portion.ratio));
        if cap * ratios > left * ratio {
            break;
        }
        set(&mut given, index, portion.cap);
        left -= cap;
        ratios -= ratio;
        rest = others;
    }
    divide(left, ratios, rest, &mut given);
    given
}

fn compare_levels(one: &Portion, other: &Portion) -> Ordering {
    let left = u128::from(one.cap) * u128::from(other.ratio);
    let right = u128::from(other.cap) * u128::from(one.ratio);
    left.cmp(&right)
}

/// Divides among those who do not reach their limits.
fn divide(amount: u128, ratios: u128, portions: &[(usize, Portion)], given: &mut [u64]) {
    if ratios == 0 {
        return;
    }
    let mut left = amount;
    let mut remainders = Vec::with_capacity(portions.len());
    for &(index, portion) in portions {
        let product = amount * u128::from(portion.ratio);
        let whole = product / ratios;
        left -= whole;
        set(given, index, u64::try_from(whole).unwrap_or(portion.cap));
        remainders.push((product % ratios, index));
    }
    // Whose exact share is furthest above what it has gets one more: it is below its limit, since
    // that is a whole number. There are at least as many of them as are left.
    remainders.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
    for (_, (_, index)) in (0..left).zip(remainders) {
        if let Some(blocks) = given.get_mut(index) {
            *blocks += 1;
        }
    }
}

fn set(given: &mut [u64], index: usize, value: u64) {
    if let Some(place) = given.get_mut(index) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(amount: u64, portions: &[(u64, u64)]) -> Vec<u64> {
        let portions: Vec<_> = portions
            .iter()
            .map(|&(cap, ratio)| Portion { cap, ratio })
            .collect();
        share(amount, &portions)
    }

    #[test]
    fn shares_are_proportional_up_to_the_limits() {
        assert_eq!(shares(6, &[(9, 1), (9, 2)]), [2, 4]);
        assert_eq!(shares(6, &[(9, 1), (3, 2)]), [3, 3]);
        assert_eq!(shares(100, &[(9, 1), (3, 2)]), [9, 3]);
        assert_eq!(shares(2, &[(9, 1), (9, 1), (9, 1)]), [1, 1, 0]);
        assert_eq!(shares(0, &[(9, 1)]), [0]);
        assert!(shares(5, &[]).is_empty());
        let largest = u64::from(u32::MAX);
        assert_eq!(
            shares(largest, &[(largest, u64::MAX); 2]),
            [largest.div_ceil(2), largest / 2]
        );
    }

    proptest! {
        #[test]
        fn everything_is_divided_and_nobody_gets_more_than_the_limit(
            amount in 0_u64..5000,
            portions in prop::collection::vec((0_u64..600, 1_u64..1 << 40), 0..40),
        ) {
            let given = shares(amount, &portions);
            let caps: u64 = portions.iter().map(|(cap, _)| cap).sum();
            prop_assert_eq!(given.iter().sum::<u64>(), amount.min(caps));
            for (given, (cap, _)) in given.iter().zip(&portions) {
                prop_assert!(given <= cap);
            }
        }

        #[test]
        fn who_has_the_larger_ratio_and_limit_gets_no_less(
            amount in 0_u64..5000,
            mut portions in prop::collection::vec((0_u64..600, 1_u64..1000), 2..40),
        ) {
            portions.sort_by_key(|portion| std::cmp::Reverse(portion.1));
            let cap = portions[0].0;
            for portion in &mut portions {
                portion.0 = cap;
            }
            let given = shares(amount, &portions);
            prop_assert!(given.windows(2).all(|pair| pair[0] >= pair[1]), "{:?}", given);
        }
    }
}
