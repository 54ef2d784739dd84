//! Ctrl-C and `SIGTERM` as a wish to stop.

use std::io;

use nd_report::Cancel;
use signal_hook::{
    consts::signal::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use crate::Printer;

/// Turns the first Ctrl-C, `SIGTERM` or hang-up into a wish to stop, and says so; the second one ends
/// this process as if nobody had listened.
///
/// Called once, after everything that must happen before threads start.
pub fn cancel_when_interrupted(cancel: &Cancel, printer: &Printer) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (cancel, printer) = (cancel.clone(), printer.clone());
    std::thread::Builder::new()
        .name("nd-signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if cancel.is_cancelled() {
                    // Ends this process; were that impossible, nothing would be left to do.
                    let _ = emulate_default_handler(signal);
                }
                cancel.cancel();
                if signal == SIGINT {
                    printer.note("stopping; Ctrl-C again stops without cleaning up");
                }
            }
        })?;
    Ok(())
}
