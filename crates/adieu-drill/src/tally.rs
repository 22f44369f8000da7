//! Requests, counted by how they ended.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::class::Class;

/// Requests by how they ended. In JSON an object with a member for each class, and `requests` and `lost` for their sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([usize; Class::ALL.len()]);

impl Tally {
    /// How many ended so.
    #[must_use]
    pub fn get(&self, class: Class) -> usize {
        self.0.get(class as usize).copied().unwrap_or(0)
    }

    /// How many were lost, races not counted.
    #[must_use]
    pub fn lost(&self) -> usize {
        Class::ALL.iter().filter(|class| class.is_lost()).map(|class| self.get(*class)).sum()
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }

    /// Counts one more that ended so.
    pub fn add(&mut self, class: Class) {
        if let Some(count) = self.0.get_mut(class as usize) {
            *count += 1;
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut sum = *self;
        sum.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
        sum
    }
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("requests", &self.total())?;
        map.serialize_entry("lost", &self.lost())?;
        for class in Class::ALL {
            map.serialize_entry(class.key(), &self.get(class))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_count_of_its_own() {
        let mut tally = Tally::default();
        for (times, class) in (1..).zip(Class::ALL) {
            (0..times).for_each(|_| tally.add(class));
        }
        let both = tally.and(&tally);
        for (times, class) in (1..).zip(Class::ALL) {
            assert_eq!((tally.get(class), both.get(class)), (times, 2 * times), "{class}");
        }
        // Not the first, ok, and not the last, race.
        assert_eq!((tally.total(), tally.lost()), (36, 27));
    }

    #[test]
    fn json_names_all_classes_also_those_that_were_not_seen() {
        let mut tally = Tally::default();
        tally.add(Class::ServerError);
        let expected = r#"{"requests":1,"lost":1,"ok":0,"refused":0,"reset":0,"cut":0,"timeout":0,"server_error":1,"wrong_body":0,"race":0}"#;
        assert_eq!(serde_json::to_string(&tally).expect("it is serialised"), expected);
    }
}
