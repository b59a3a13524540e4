//! Whether the time that a reply takes tells two kinds of requests apart: Welch's t over samples that
//! were taken in turn.

use std::time::Duration;

/// Pairs that are sampled.
pub(super) const PAIRS: usize = 24;
/// Beyond this, chance does not explain the difference.
const T_MAX: f64 = 6.0;
/// A smaller difference drowns in any network.
const SHARE_MIN: f64 = 0.3;

/// Times of one kind, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) fn push(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1_000.0);
    }

    /// The mean, and the variance of the mean.
    fn moments(&self) -> (f64, f64) {
        let n = f64::from(u32::try_from(self.0.len()).unwrap_or(u32::MAX)).max(2.0);
        let mean = self.0.iter().sum::<f64>() / n;
        let variance = self.0.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, variance / n)
    }

    /// What tells the two apart, if anything does.
    pub(super) fn told_apart(&self, other: &Self) -> Option<String> {
        let ((a, va), (b, vb)) = (self.moments(), other.moments());
        let t = (a - b) / (va + vb).sqrt().max(f64::EPSILON);
        let share = (a - b).abs() / a.max(b).max(f64::EPSILON);
        let differ = t.abs() > T_MAX && share > SHARE_MIN;
        differ.then(|| format!("{a:.2} ms against {b:.2} ms on average (Welch's t = {t:.1})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(times: impl Iterator<Item = u64>) -> Samples {
        let mut samples = Samples::default();
        times.for_each(|us| samples.push(Duration::from_micros(us)));
        samples
    }

    #[test]
    fn only_a_plain_difference_is_told() {
        let fast = samples((0..24).map(|i| 1_000 + i * 7 % 100));
        let slow = samples((0..24).map(|i| 2_000 + i * 7 % 100));
        let near = samples((0..24).map(|i| 1_050 + i * 7 % 100));
        let wild = samples((0..24).map(|i| 1_000 + (i % 2) * 5_000));
        // The 24 times lie 43 µs above their base on average.
        assert!(fast.told_apart(&slow).is_some_and(|told| told.contains("2.04 ms")));
        assert_eq!(fast.told_apart(&near), None);
        assert_eq!(fast.told_apart(&wild), None);
    }
}
