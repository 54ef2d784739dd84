//! What a library tells or asks its caller: diagnostics, progress events, cancellation.
//!
//! Libraries never print. Problems *in the input* go to a [`Sink`] as [`Diagnostic`]s, all of
//! them; what *happens* goes to a [`Reporter`]; the caller's wish to stop comes in as [`Cancel`].

mod cancel;
mod causes;
mod diagnostic;
mod explanation;
mod fixes;
mod nearest;
mod position;
mod progress;
mod python;
mod visible;

pub use cancel::{Cancel, Cancelled};
pub use causes::{causes, with_causes};
pub use diagnostic::{Code, Diagnostic, FileId, Fix, Hint, Label, Severity, Sink, Span};
pub use explanation::Explanation;
pub use fixes::{Fixed, apply_safe_fixes};
pub use nearest::{edits, nearest};
pub use position::{ColumnUnit, LineIndex, Position};
pub use progress::{Event, Reporter, Silent, StepId, StepOutcome};
pub use python::{float_repr, write_ascii_json};
pub use visible::{is_invisible, visible};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
