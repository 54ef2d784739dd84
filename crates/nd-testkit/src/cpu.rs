//! Time that does not depend on what else the machine does.

use std::time::Duration;

/// Processor time that this thread has used so far. The difference of two is what lies between
/// them cost, however busy the machine was.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.cast_unsigned(),
        time.tv_nsec.cast_unsigned() as u32,
    )
}

/// Processor time of this thread since [`cpu_time`] gave `begun`, in seconds.
pub fn cpu_since(begun: Duration) -> f64 {
    cpu_time().saturating_sub(begun).as_secs_f64()
}
