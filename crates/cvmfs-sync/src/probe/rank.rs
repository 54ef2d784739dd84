//! The order of servers, from what they answered.

use std::{cmp::Ordering, time::Duration};

use super::measure::{Answer, Measured};

/// How many servers a client is given, and how many are looked at closely.
pub const MOST_SERVERS: usize = 4;
/// How much older than the newest revision an older one may be before its server counts as stale, in
/// seconds: replicas copy every few minutes.
const LAG: i64 = 30 * 60;
/// The transfer that a server is judged by, in bytes: what a client fetches to open a directory, about.
const TYPICAL: f64 = 1_048_576.0;

/// What a server is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can be used.
    Good,
    /// It has an old revision, so many before the newest.
    Stale(u64),
    /// It cannot be used.
    Failed,
}

impl Standing {
    /// Whether a client should be given the server.
    pub fn is_good(self) -> bool {
        self == Self::Good
    }
}

/// A server in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranked {
    /// Which of the measured it is.
    pub index: usize,
    /// What it is worth.
    pub standing: Standing,
}

/// The servers, best first: those that are up to date by the time that a typical transfer takes, among
/// them those first whose rate is known; then the stale; then those that did not answer.
pub fn rank(measured: &[Measured]) -> Vec<Ranked> {
    let answers = || measured.iter().filter_map(|one| one.answer.as_ref().ok());
    let newest = answers().map(|answer| answer.revision).max().unwrap_or(0);
    let latest = answers().filter_map(|answer| answer.published).max();
    let standing = |one: &Measured| match &one.answer {
        Err(_) => Standing::Failed,
        Ok(answer) => {
            let old = match (answer.published, latest) {
                (Some(time), Some(latest)) => latest.saturating_sub(time) > LAG,
                _ => true,
            };
            if answer.revision < newest && old {
                Standing::Stale(newest - answer.revision)
            } else {
                Standing::Good
            }
        }
    };
    let mut ranked: Vec<Ranked> = measured
        .iter()
        .enumerate()
        .map(|(index, one)| Ranked {
            index,
            standing: standing(one),
        })
        .collect();
    // Stable: servers that are alike stay in the order in which they were named.
    ranked.sort_by(|a, b| {
        let class = |ranked: &Ranked| match ranked.standing {
            Standing::Good => 0,
            Standing::Stale(_) => 1,
            Standing::Failed => 2,
        };
        class(a).cmp(&class(b)).then_with(|| {
            match (&measured[a.index].answer, &measured[b.index].answer) {
                (Ok(a), Ok(b)) => faster(a, b),
                _ => Ordering::Equal,
            }
        })
    });
    ranked
}

fn faster(a: &Answer, b: &Answer) -> Ordering {
    let typical = |answer: &Answer| {
        let transfer = answer.transfer?;
        Some(answer.latency() + Duration::from_secs_f64(TYPICAL / transfer.rate().max(1.0)))
    };
    match (typical(a), typical(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.latency().cmp(&b.latency()),
    }
}

#[cfg(test)]
mod tests {
    //! What counts, and in which order.

    use super::*;
    use crate::probe::{ProbeError, Transfer};

    fn answer(milliseconds: u64, revision: u64, published: i64) -> Answer {
        Answer {
            latencies: vec![Duration::from_millis(milliseconds)],
            revision,
            published: Some(published),
            root: nd_cvmfs::Algorithm::Sha1.hash(b""),
            transfer: None,
            distance: None,
        }
    }

    fn order(answers: Vec<Result<Answer, ProbeError>>) -> Vec<(usize, Standing)> {
        let measured: Vec<Measured> = answers
            .into_iter()
            .map(|answer| Measured {
                server: "http://a".parse().unwrap(),
                answer,
            })
            .collect();
        let ranked = rank(&measured).into_iter();
        ranked
            .map(|ranked| (ranked.index, ranked.standing))
            .collect()
    }

    #[test]
    fn a_stale_server_loses_however_fast_it_is() {
        let found = order(vec![
            Err(ProbeError::TooSlow),
            Ok(answer(1, 5, 0)),
            Ok(answer(90, 7, 4000)),
            // Behind, but not for long.
            Ok(answer(20, 6, 3000)),
        ]);
        assert_eq!(
            found,
            [
                (3, Standing::Good),
                (2, Standing::Good),
                (1, Standing::Stale(2)),
                (0, Standing::Failed),
            ]
        );
    }

    #[test]
    fn a_fast_transfer_outweighs_a_slow_start_and_equals_stay_in_order() {
        let with = |answer: Answer, rate: u64| Answer {
            transfer: Some(Transfer {
                bytes: rate,
                time: Duration::from_secs(1),
            }),
            ..answer
        };
        let found = order(vec![
            Ok(answer(1, 7, 0)),
            Ok(with(answer(10, 7, 0), 1 << 20)),
            Ok(with(answer(200, 7, 0), 100 << 20)),
            Ok(answer(1, 7, 0)),
        ]);
        let order: Vec<usize> = found.into_iter().map(|(index, _)| index).collect();
        assert_eq!(order, [2, 1, 0, 3]);
    }

    #[test]
    fn without_answers_there_is_no_good_one() {
        let found = order(vec![Err(ProbeError::TooMuch), Err(ProbeError::TooSlow)]);
        assert!(found.iter().all(|(_, standing)| !standing.is_good()));
        assert!(order(Vec::new()).is_empty());
    }
}
