//! A reporter that lives as long as it has to, for one that is only borrowed.

use std::{
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    time::Duration,
};

use nd_report::{Event, Reporter, StepId, StepOutcome};

/// Does `work` with a reporter that can be kept; what it hears reaches `to` while the work goes on.
pub(super) fn relayed<T: Send>(
    to: &dyn Reporter,
    work: impl FnOnce(Arc<dyn Reporter>) -> T + Send,
) -> T {
    let (sender, heard) = channel::<Heard>();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || work(Arc::new(Relay(sender))));
        // Ends when the last reporter is gone.
        for event in heard {
            to.event(event.borrow());
        }
        match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

struct Relay(Sender<Heard>);

impl Reporter for Relay {
    fn event(&self, event: Event<'_>) {
        if let Some(heard) = Heard::of(&event) {
            // Nobody listens any more only when the work is over.
            let _ = self.0.send(heard);
        }
    }
}

/// An event that borrows nothing.
enum Heard {
    Started(StepId, String, Option<u64>),
    Advanced(StepId, u64),
    Output(StepId, Vec<u8>),
    Finished(StepId, StepOutcome, Duration),
    Note(String),
}

impl Heard {
    fn of(event: &Event<'_>) -> Option<Self> {
        Some(match *event {
            Event::Started { id, title, bytes } => Self::Started(id, title.to_owned(), bytes),
            Event::Advanced { id, bytes } => Self::Advanced(id, bytes),
            Event::Output { id, line } => Self::Output(id, line.to_owned()),
            Event::Finished { id, outcome, took } => Self::Finished(id, outcome, took),
            Event::Note { text } => Self::Note(text.to_owned()),
            _ => return None,
        })
    }

    fn borrow(&self) -> Event<'_> {
        match self {
            Self::Started(id, title, bytes) => Event::Started {
                id: *id,
                title,
                bytes: *bytes,
            },
            Self::Advanced(id, bytes) => Event::Advanced {
                id: *id,
                bytes: *bytes,
            },
            Self::Output(id, line) => Event::Output { id: *id, line },
            Self::Finished(id, outcome, took) => Event::Finished {
                id: *id,
                outcome: *outcome,
                took: *took,
            },
            Self::Note(text) => Event::Note { text },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Words(Mutex<Vec<String>>);

    impl Reporter for Words {
        fn event(&self, event: Event<'_>) {
            if let Event::Note { text } = event {
                self.0.lock().unwrap().push(text.to_owned());
            }
        }
    }

    #[test]
    fn what_is_said_arrives_in_order_and_the_result_comes_back() {
        let words = Words(Mutex::default());
        let result = relayed(&words, |reporter| {
            for text in ["a", "b"] {
                reporter.event(Event::Note { text });
            }
            7
        });
        assert_eq!(result, 7);
        assert_eq!(*words.0.lock().unwrap(), ["a", "b"]);
    }
}
