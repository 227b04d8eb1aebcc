//! Lists of numbers as people and batch systems write them: `0-3,7`.

use anyhow::{Result, bail};

/// Most numbers that a list may name: a slip like `0-99999999999` is an error.
const MOST: u64 = 100_000;

/// The numbers that a list like `1,4-6` names, in its order.
///
/// # Errors
/// What is no such list.
pub fn numbers(text: &str) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.trim().parse::<u64>(), last.trim().parse::<u64>())
        else {
            bail!("{part:?} is no number and no range; write a list like 1,4-6");
        };
        if first > last || last - first >= MOST {
            bail!("{part:?} is no range; write the smaller number first, as in 4-6");
        }
        found.extend(first..=last);
    }
    Ok(found)
}

/// Ascending numbers as a list that is as short as can be: `0-3,7`.
pub fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => parts.push((number, number)),
        }
    }
    let part = |&(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_are_numbers_and_ranges() {
        assert_eq!(numbers("1,2,3").unwrap(), [1, 2, 3]);
        assert_eq!(numbers("0-2, 7").unwrap(), [0, 1, 2, 7]);
        for bad in ["", "a", "3-1", "1-", "-1", "1,,2", "0-18446744073709551615"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_list_of_ranges_names_the_numbers_it_was_made_from(
            chosen in prop::collection::btree_set(0usize..60, 1..40)
        ) {
            let list: Vec<usize> = chosen.iter().copied().collect();
            let again: BTreeSet<usize> =
                numbers(&ranges(&list)).unwrap().into_iter().map(|n| n as usize).collect();
            prop_assert_eq!(chosen, again);
        }
    }
}
