//! Step keys: identity of a result, from its inputs.

use std::{fmt, str::FromStr};

use nd_names::{Architecture, ParseDigestError, Sha256};
use serde::{Deserialize, Serialize};

use super::{Action, PLAN_SCHEMA};

/// Identity of a step's result: a chain over the base and the inputs of all steps so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepKey(Sha256);

impl StepKey {
    /// The key of a stage before its first step: its base's layers, and what every step of it
    /// shares (architecture, `ids`, the id mode's name, and `epoch`, seconds since 1970).
    ///
    /// The base's *configuration* is left out: what of it reaches a step is part of that step.
    pub fn of_base(diff_ids: &[Sha256], platform: Architecture, ids: &str, epoch: i64) -> Self {
        let platform = platform.to_string();
        let rules = (PLAN_SCHEMA, crate::scrub::VERSION);
        Self::hash(&("base", rules, diff_ids, platform, ids, epoch))
    }

    /// The key of a step that does `action` on top of `self`.
    #[must_use]
    pub fn then(self, action: &Action) -> Self {
        Self::hash(&("step", self, action))
    }

    /// The digest.
    pub fn digest(&self) -> &Sha256 {
        &self.0
    }

    fn hash(value: &impl Serialize) -> Self {
        // Plain data without maps of unordered keys or non-string keys: it always serialises,
        // and always to the same text.
        let text = serde_json::to_vec(value).unwrap_or_default();
        Self(Sha256::of(&text))
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StepKey {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
