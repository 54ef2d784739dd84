//! Sizes and durations as people read them.

use std::time::Duration;

/// Bytes in decimal units with three significant digits: `999 B`, `12.3 MB`, `1.20 GB`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // 999.5 would be shown as 1000 in this unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.*} {}", digits(value), UNITS[unit])
}

/// A duration with the precision that matters: `4 ms`, `1.25 s`, `48.1 s`, `2 min 5 s`, `1 h 3 min`.
pub fn human_duration(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 99.95 {
        return format!("{seconds:.*} s", digits(seconds));
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {} s", whole / 60, whole % 60)
    } else {
        format!("{} h {} min", whole / 3600, whole % 3600 / 60)
    }
}

/// Decimal places that leave three significant digits.
fn digits(value: f64) -> usize {
    if value < 9.995 {
        2
    } else {
        usize::from(value < 99.95)
    }
}
