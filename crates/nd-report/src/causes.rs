//! An error and what caused it.

use std::error::Error;

/// `error`, what caused it, what caused that, and so on.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// `error` and its causes on one line, with `: ` between them.
///
/// ```
/// let number = "many".parse::<u8>().unwrap_err();
/// assert_eq!(nd_report::with_causes(&number), "invalid digit found in string");
/// ```
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error).map(ToString::to_string) {
        // Errors that print their cause themselves would say it twice.
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fmt};

    #[derive(Debug)]
    struct Outer(&'static str, Option<Box<Outer>>);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_ref().map(|cause| cause as _)
        }
    }

    #[test]
    fn each_cause_is_told_once() {
        let cause = Outer("no bytes", Some(Box::new(Outer("it rained", None))));
        let error = Outer("failed: no bytes", Some(Box::new(cause)));
        assert_eq!(super::with_causes(&error), "failed: no bytes: it rained");
        assert_eq!(super::causes(&error).count(), 3);
    }
}
