//! What is left of many measurements.

/// Durations or sizes of one kind, in any unit.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn add(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The middle one; of an even number, the mean of the two in the middle. Zero when there is none.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match (sorted.len() % 2, middle.checked_sub(1).and_then(|i| sorted.get(i)), sorted.get(middle)) {
            (0, Some(below), Some(above)) => f64::midpoint(*below, *above),
            (_, _, Some(one)) => *one,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let of = |samples: &[f64]| Samples(samples.to_vec()).median();
        assert!((of(&[9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((of(&[4.0, 1.0, 2.0, 100.0]) - 3.0).abs() < f64::EPSILON);
        assert!(of(&[]).abs() < f64::EPSILON);
    }
}
