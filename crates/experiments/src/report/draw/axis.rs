//! Scales: from values to pixels, and where the ticks go.

use crate::statistics::Estimate;

/// A linear or logarithmic scale from values to pixels.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Scale {
    /// Maps `low..high` linearly to the pixels `from..to`.
    pub fn linear((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        Self {
            low,
            high,
            from,
            to,
            logarithmic: false,
        }
    }

    /// Maps the logarithm of `low..high`, both positive, to the pixels.
    pub fn logarithmic((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        Self {
            low: low.log10(),
            high: high.log10(),
            from,
            to,
            logarithmic: true,
        }
    }

    /// Pixel of `value`.
    pub fn at(&self, value: f64) -> f64 {
        let value = if self.logarithmic {
            value.log10()
        } else {
            value
        };
        let width = self.high - self.low;
        let share = if width > 0.0 {
            (value - self.low) / width
        } else {
            0.5
        };
        self.from + share * (self.to - self.from)
    }

    /// Pixel of `value`, kept inside, and whether it had to be moved.
    pub fn clamped(&self, value: f64) -> (f64, bool) {
        let pixel = self.at(value);
        let (least, most) = (self.from.min(self.to), self.from.max(self.to));
        let kept = pixel.clamp(least, most);
        (kept, (kept - pixel).abs() > 0.5)
    }

    /// Round values inside the scale: about `wanted` of them when it is linear,
    /// the decades with their halves and fifths where there is room otherwise.
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        if self.logarithmic {
            return self.decades(wanted);
        }
        let step = round_step((self.high - self.low) / wanted.max(1) as f64);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        // Multiplying whole numbers keeps 0.3 from becoming 0.30000000000000004
        // in more places than it must.
        (first..=last).map(|i| i as f64 * step).collect()
    }

    fn decades(&self, wanted: usize) -> Vec<f64> {
        let inside = |v: &f64| (self.low - 1e-9..=self.high + 1e-9).contains(&v.log10());
        let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
        let with = |steps: &[f64]| -> Vec<f64> {
            (first..=last)
                .flat_map(|decade| steps.iter().map(move |s| s * 10f64.powi(decade)))
                .filter(inside)
                .collect()
        };
        let choices = [with(&[1.0, 2.0, 5.0]), with(&[1.0, 3.0]), with(&[1.0])];
        let fits = |ticks: &&Vec<f64>| ticks.len() <= wanted;
        let best = choices.iter().find(fits).unwrap_or(&choices[2]);
        best.clone()
    }
}

fn round_step(raw: f64) -> f64 {
    if raw <= 0.0 || !raw.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|f| f * power >= raw * 0.999)
        .unwrap_or(10.0);
    factor * power
}

/// The range of accuracies an axis shows: all means and `others`, and the
/// intervals as far as they do not dwarf the differences between the means (two
/// runs can give an interval wider than the whole axis).
pub fn accuracy_range(estimates: &[Estimate], others: &[f64]) -> (f64, f64) {
    let finite = |v: &f64| v.is_finite();
    let means = estimates.iter().map(|e| e.mean);
    let means: Vec<f64> = means.chain(others.iter().copied()).filter(finite).collect();
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return (0.0, 1.0);
    }
    let reach = (high - low).max(0.08);
    let ends = |e: &Estimate| {
        let half = e.half_width.unwrap_or(0.0).min(reach);
        (e.mean - half, e.mean + half)
    };
    let ends = estimates.iter().filter(|e| e.mean.is_finite()).map(ends);
    let (low, high) = ends.fold((low, high), |(l, h), (a, b)| (l.min(a), h.max(b)));
    let room = ((high - low) * 0.06).max(0.01);
    ((low - room).max(0.0), (high + room).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn estimate(mean: f64, half_width: f64) -> Estimate {
        Estimate {
            n: 2,
            mean,
            half_width: Some(half_width),
        }
    }

    #[test]
    fn linear_ticks_are_round_and_inside() {
        let scale = Scale::linear((0.231, 0.812), (0.0, 100.0));
        let ticks = scale.ticks(6);
        let expected = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
        assert_eq!(ticks.len(), expected.len());
        for (tick, expected) in ticks.iter().zip(expected) {
            assert!((tick - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn logarithmic_ticks_thin_out_to_the_decades() {
        let wide = Scale::logarithmic((900.0, 30e6), (0.0, 1.0));
        assert_eq!(wide.ticks(6), [1e3, 1e4, 1e5, 1e6, 1e7]);
        let narrow = Scale::logarithmic((900.0, 6e3), (0.0, 1.0));
        assert_eq!(narrow.ticks(6), [1e3, 2e3, 5e3]);
    }

    #[test]
    fn a_huge_interval_does_not_flatten_the_others() {
        let (low, high) = accuracy_range(&[estimate(0.7, 0.9), estimate(0.75, 0.01)], &[]);
        assert!(low > 0.5 && high < 0.9, "{low} to {high}");
    }

    proptest! {
        #[test]
        fn every_mean_is_on_the_axis(means in prop::collection::vec(0.0f64..=1.0, 1..12)) {
            let all: Vec<Estimate> = means.iter().map(|m| estimate(*m, 0.03)).collect();
            let (low, high) = accuracy_range(&all, &[]);
            prop_assert!(low < high);
            prop_assert!(means.iter().all(|m| low <= *m && *m <= high));
        }
    }
}
