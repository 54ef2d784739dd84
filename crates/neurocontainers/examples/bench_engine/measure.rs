//! Time and peak memory of a command and all it starts.

use std::{
    collections::HashMap,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) time: Duration,
    /// Processor time of it and of everything below it that was waited for.
    pub(crate) processor: Duration,
    /// Largest resident size of any one process, in bytes.
    pub(crate) memory: u64,
}

/// Runs a command to its end; its output is shown when it fails.
pub(crate) fn run(command: &mut Command) -> Taken {
    let shown = format!("{command:?}");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let before = processor_of_children();
    let started = Instant::now();
    let child = command.spawn().unwrap();
    let (id, over) = (child.id(), AtomicBool::new(false));
    let (output, time, memory) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(id, &over));
        let output = child.wait_with_output().unwrap();
        let time = started.elapsed();
        over.store(true, Ordering::Release);
        (output, time, watcher.join().unwrap())
    });
    assert!(
        output.status.success(),
        "{shown}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let processor = processor_of_children().saturating_sub(before);
    Taken {
        time,
        processor,
        memory,
    }
}

/// What ended children of this process have used, as the kernel adds it up in `/proc/self/stat`.
fn processor_of_children() -> Duration {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap();
    // In ticks of a hundredth of a second, whatever the kernel's own are.
    let words = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = words
        .skip(13)
        .take(2)
        .map(|w| w.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// The largest peak of the process and its descendants, looked at now and then.
fn watch(root: u32, over: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !over.load(Ordering::Acquire) {
        for id in family(root) {
            peak = peak.max(peak_of(id));
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    peak
}

fn family(root: u32) -> Vec<u32> {
    let mut parents: HashMap<u32, u32> = HashMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let stat = fs_err::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in parentheses may hold anything; the parent is the second word after it.
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|word| word.parse().ok()) {
            parents.insert(id, parent);
        }
    }
    let mut out = vec![root];
    let mut at = 0;
    while at < out.len() {
        let id = out[at];
        out.extend(
            parents
                .iter()
                .filter(|(_, parent)| **parent == id)
                .map(|(id, _)| *id),
        );
        at += 1;
    }
    out
}

fn peak_of(id: u32) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// The middle one of several runs by time, with the largest memory of all.
pub(crate) fn median(mut runs: Vec<Taken>) -> Taken {
    runs.sort_by_key(|taken| taken.time);
    Taken {
        time: runs[runs.len() / 2].time,
        processor: runs[runs.len() / 2].processor,
        memory: runs.iter().map(|taken| taken.memory).max().unwrap_or(0),
    }
}
