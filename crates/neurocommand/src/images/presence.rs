//! Where an image is, and what is wrong with that.

use nd_names::ImageName;
use serde::Serialize;

/// What a place says about an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Presence {
    /// It is there.
    There {
        /// Its bytes, as far as the place says.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// It is not there.
    Missing,
    /// The place does not say.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// What all places say about one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReport {
    /// Which image.
    pub image: ImageName,
    /// Each place by its name, in the order in which they were named.
    pub places: Vec<(String, Presence)>,
}

/// What is wrong with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// A place does not have it.
    Missing,
    /// A place could not be asked.
    Unknown,
    /// Places have images of different lengths.
    Different,
}

impl ImageReport {
    /// Everything that is wrong; empty when nothing is.
    pub fn problems(&self) -> Vec<Problem> {
        let (mut problems, mut sizes) = (Vec::new(), Vec::new());
        for (_, presence) in &self.places {
            match presence {
                Presence::There { bytes } => sizes.extend(*bytes),
                Presence::Missing => problems.push(Problem::Missing),
                Presence::Unknown { .. } => problems.push(Problem::Unknown),
            }
        }
        sizes.dedup();
        if sizes.len() > 1 {
            problems.push(Problem::Different);
        }
        problems.sort_unstable();
        problems.dedup();
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_same_everywhere_is_a_problem() {
        let there = |bytes| Presence::There { bytes };
        let unknown = || Presence::Unknown {
            reason: "403".into(),
        };
        for (places, wanted) in [
            (vec![there(Some(5)), there(Some(5)), there(None)], vec![]),
            (
                vec![there(Some(5)), there(Some(6))],
                vec![Problem::Different],
            ),
            (
                vec![there(Some(5)), Presence::Missing, Presence::Missing],
                vec![Problem::Missing],
            ),
            (
                vec![unknown(), Presence::Missing],
                vec![Problem::Missing, Problem::Unknown],
            ),
        ] {
            let places = places
                .into_iter()
                .map(|one| ("x".to_owned(), one))
                .collect();
            let image = "a_1_20240101".parse().unwrap();
            assert_eq!(ImageReport { image, places }.problems(), wanted);
        }
    }
}
