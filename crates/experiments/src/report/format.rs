//! Numbers as people read them.

use crate::statistics::Estimate;

/// What stands in a cell that has no value.
pub const ABSENT: &str = "–";

/// `1234567` as `1,234,567`.
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1234567` as `1.23 M`: three significant digits and a unit.
pub fn short_count(value: u64) -> String {
    let v = value as f64;
    match value {
        0..1_000 => value.to_string(),
        1_000..999_500 => format!("{} k", three_digits(v / 1e3)),
        999_500..999_500_000 => format!("{} M", three_digits(v / 1e6)),
        _ => format!("{} G", three_digits(v / 1e9)),
    }
}

/// A tick of an axis of counts: 1, 2, 3 or 5 times a power of ten needs no
/// decimals.
pub fn round_count(tick: f64) -> String {
    let text = short_count(tick.round() as u64);
    text.replace(".00", "").replace(".0 ", " ")
}

/// Bytes in the largest binary unit that leaves a number of at least 1.
pub fn bytes(value: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut v = value as f64;
    let mut unit = 0;
    // 1,023 KiB would be longer than 1.00 MiB.
    while v >= 999.5 && unit + 1 < units.len() {
        v /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{value} B"),
        _ => format!("{} {}", three_digits(v), units[unit]),
    }
}

/// A positive quantity with three significant digits, `ABSENT` when it is not
/// a finite number.
pub fn quantity(value: f64) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    if value.abs() >= 1000.0 {
        let sign = if value < 0.0 { "−" } else { "" };
        return format!("{sign}{}", thousands(value.abs().round() as u64));
    }
    three_digits(value)
}

/// Three significant digits.
pub fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A share of 0 to 1 as percent with one decimal, without the sign `%`.
pub fn percent(share: f64) -> String {
    percent_with(share, 1)
}

fn percent_with(share: f64, decimals: usize) -> String {
    if !share.is_finite() {
        return ABSENT.to_owned();
    }
    format!("{:.decimals$}", share * 100.0)
}

/// Decimals of a percentage with this half width: one, two when the interval
/// is narrower than a tenth of a point.
fn decimals(half_width: Option<f64>) -> usize {
    match half_width {
        Some(half) if half * 100.0 < 0.1 => 2,
        _ => 1,
    }
}

/// Accuracy in percent with its interval: `71.3 ± 2.4`, or `71.3 (1 run)`.
pub fn accuracy(estimate: &Estimate) -> String {
    let decimals = decimals(estimate.half_width);
    let mean = percent_with(estimate.mean, decimals);
    match estimate.half_width {
        Some(half) => format!("{mean} ± {}", percent_with(half, decimals)),
        None => format!("{mean} (1 run)"),
    }
}

/// A difference of accuracies in points, always signed: `+1.2 ± 0.8`.
pub fn difference(estimate: &Estimate) -> String {
    let decimals = decimals(estimate.half_width);
    let mean = signed(estimate.mean * 100.0, decimals);
    match estimate.half_width {
        Some(half) => format!("{mean} ± {}", percent_with(half, decimals)),
        None => mean,
    }
}

fn signed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let zero = !text.contains(|c: char| c.is_ascii_digit() && c != '0');
    match (zero, value < 0.0) {
        (true, _) => text,
        (false, true) => format!("−{text}"),
        (false, false) => format!("+{text}"),
    }
}

/// An accuracy inside a sentence, with its percent sign: `71.3 ± 2.4 %`.
pub fn accuracy_in_words(estimate: &Estimate) -> String {
    match estimate.half_width {
        Some(_) => format!("{} %", accuracy(estimate)),
        None => format!("{} % (1 run)", percent(estimate.mean)),
    }
}

/// A p-value with three decimals, `< 0.001` below.
pub fn p_value(p: Option<f64>) -> String {
    match p {
        None => ABSENT.to_owned(),
        Some(p) if p < 0.001 => "< 0.001".to_owned(),
        Some(p) => format!("{p:.3}"),
    }
}

/// Peak memory, where 0 says that the system did not tell.
pub fn memory(value: u64) -> String {
    match value {
        0 => ABSENT.to_owned(),
        _ => bytes(value),
    }
}

/// Seconds since 1970 as a UTC date and time, `2026-03-01 12:30`.
pub fn utc(unix: u64) -> String {
    // Counting in years that begin in March puts the leap day last, where it
    // needs no special case.
    let days = unix / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (unix % 86_400 / 3_600, unix % 3_600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// A place on an axis: whole numbers without decimals, large ones with a unit,
/// others with four significant digits at most.
pub fn axis_value(value: f64) -> String {
    let size = value.abs();
    if value == value.trunc() && size < 100_000.0 {
        let sign = if value < 0.0 { "−" } else { "" };
        return format!("{sign}{}", thousands(size as u64));
    }
    if size >= 10_000.0 {
        return round_count(size);
    }
    let decimals = (3 - size.max(1e-9).log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Multiply-adds with a unit: `44.1 G`.
pub fn operations(value: u64) -> String {
    short_count(value)
}

/// `1 run`, `2 runs`.
pub fn counted(n: usize, noun: &str) -> String {
    let ending = if n == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", thousands(n as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn estimate(mean: f64, half_width: Option<f64>) -> Estimate {
        Estimate {
            n: if half_width.is_some() { 3 } else { 1 },
            mean,
            half_width,
        }
    }

    #[test]
    fn counts_and_bytes_read_well() {
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(21_342_212), "21,342,212");
        assert_eq!(short_count(999), "999");
        assert_eq!(short_count(134_916), "135 k");
        assert_eq!(short_count(999_499), "999 k");
        assert_eq!(short_count(999_600), "1.00 M");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(553_104), "540 KiB");
        assert_eq!(bytes(1023 * 1024), "1.00 MiB");
        assert_eq!(memory(0), ABSENT);
        assert_eq!(quantity(1234.5), "1,235");
        assert_eq!(quantity(f64::NAN), ABSENT);
    }

    #[test]
    fn accuracies_have_one_decimal_and_two_when_the_interval_is_narrow() {
        assert_eq!(accuracy(&estimate(0.7132, Some(0.0241))), "71.3 ± 2.4");
        assert_eq!(accuracy(&estimate(0.7132, Some(0.0004))), "71.32 ± 0.04");
        assert_eq!(accuracy(&estimate(0.7132, None)), "71.3 (1 run)");
    }

    #[test]
    fn differences_carry_their_sign_and_zero_has_none() {
        assert_eq!(difference(&estimate(0.012, Some(0.008))), "+1.2 ± 0.8");
        assert_eq!(difference(&estimate(-0.012, None)), "−1.2");
        assert_eq!(difference(&estimate(-0.0001, None)), "0.0");
        assert_eq!(p_value(Some(0.0004)), "< 0.001");
        assert_eq!(p_value(Some(0.0321)), "0.032");
    }

    #[test]
    fn places_on_an_axis_are_short() {
        assert_eq!(axis_value(7.0), "7");
        assert_eq!(axis_value(0.005), "0.005");
        assert_eq!(axis_value(1.5), "1.5");
        assert_eq!(axis_value(43_828.0), "43,828");
        assert_eq!(axis_value(250_000.0), "250 k");
        assert_eq!(round_count(1_000_000.0), "1 M");
        assert_eq!(round_count(1_050_000.0), "1.05 M");
        assert_eq!(round_count(20_000.0), "20 k");
    }

    #[test]
    fn dates_of_known_instants() {
        assert_eq!(utc(0), "1970-01-01 00:00");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00");
        assert_eq!(utc(1_735_689_599), "2024-12-31 23:59");
    }

    proptest! {
        #[test]
        fn thousands_keeps_the_digits(value in any::<u64>()) {
            prop_assert_eq!(thousands(value).replace(',', ""), value.to_string());
        }
    }
}
