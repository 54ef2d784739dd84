//! Progress events on a terminal, or as plain lines.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use nd_report::{Event, Reporter, StepId, StepOutcome};
use owo_colors::OwoColorize as _;

use crate::{Printer, Verbosity, human_duration};

/// How many lines of a step's output are kept for its failure.
const KEPT_LINES: usize = 30;
/// Longest part of an output line that is shown, in characters.
const LINE_LIMIT: usize = 2000;

/// Draws events: one progress line per step while it runs and one line when it has ended; a
/// step's output scrolls above, each line behind the step's prefix (the recipe line it belongs to).
pub struct TerminalReporter {
    printer: Printer,
    bars: Option<MultiProgress>,
    steps: Mutex<BTreeMap<StepId, Step>>,
}

#[derive(Default)]
struct Step {
    title: String,
    prefix: Option<String>,
    bar: Option<ProgressBar>,
    last: VecDeque<String>,
}

impl fmt::Debug for TerminalReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalReporter")
            .field("printer", &self.printer)
            .finish_non_exhaustive()
    }
}

impl TerminalReporter {
    pub(crate) fn new(printer: Printer, bars: Option<MultiProgress>) -> Self {
        Self {
            printer,
            bars,
            steps: Mutex::default(),
        }
    }

    /// Sets what stands before each output line of a step, usually `build.yaml:LINE`. May be said
    /// before the step starts.
    pub fn set_prefix(&self, id: StepId, prefix: impl Into<String>) {
        self.steps().entry(id).or_default().prefix = Some(prefix.into());
    }

    /// The last output lines of a step, oldest first.
    pub fn last_lines(&self, id: StepId) -> Vec<String> {
        self.steps()
            .get(&id)
            .map(|step| step.last.iter().cloned().collect())
            .unwrap_or_default()
    }

    fn steps(&self) -> MutexGuard<'_, BTreeMap<StepId, Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self, id: StepId, title: &str, bytes: Option<u64>) {
        let title = clean(title);
        let bar = self.bars.as_ref().map(|bars| {
            let bar = match bytes {
                Some(bytes) => ProgressBar::new(bytes).with_style(style(
                    "{spinner} {msg} {bar:20} {decimal_bytes}/{decimal_total_bytes} {elapsed}",
                )),
                None => ProgressBar::new_spinner().with_style(style("{spinner} {msg} {elapsed}")),
            };
            let bar = bars.add(bar.with_message(title.clone()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            self.printer.note(&format!("{:>7} {title}", "start"));
        }
        let mut steps = self.steps();
        let step = steps.entry(id).or_default();
        step.title = title;
        step.bar = bar;
    }

    fn output(&self, id: StepId, line: &[u8]) {
        let line = clean(&String::from_utf8_lossy(line));
        let shown = {
            let mut steps = self.steps();
            let step = steps.entry(id).or_default();
            let shown = format!(
                "{} {line}",
                format_args!("{} |", step.prefix.as_deref().unwrap_or("       ")).dimmed()
            );
            if step.last.len() == KEPT_LINES {
                step.last.pop_front();
            }
            step.last.push_back(line);
            shown
        };
        self.printer.note(&shown);
    }

    fn finished(&self, id: StepId, outcome: StepOutcome, took: Duration) {
        let (title, kept) = {
            let mut steps = self.steps();
            let step = steps.entry(id).or_default();
            if let Some(bar) = step.bar.take() {
                bar.finish_and_clear();
            }
            let kept = (outcome == StepOutcome::Failed
                && self.printer.verbosity() == Verbosity::Quiet)
                .then(|| step.last.iter().cloned().collect::<Vec<_>>());
            (step.title.clone(), kept.unwrap_or_default())
        };
        for line in kept {
            self.printer.error_line(&line);
        }
        let took = human_duration(took);
        match outcome {
            StepOutcome::Done => {
                self.printer
                    .note(&format!("{:>7} {title} ({took})", "done".green()));
            }
            StepOutcome::Cached => self
                .printer
                .note(&format!("{:>7} {title}", "cached".cyan())),
            StepOutcome::Failed => self
                .printer
                .error_line(&format!("{:>7} {title} ({took})", "failed".red())),
        }
    }
}

impl Reporter for TerminalReporter {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Started { id, title, bytes } => self.started(id, title, bytes),
            Event::Advanced { id, bytes } => {
                if let Some(bar) = self.steps().get(&id).and_then(|step| step.bar.as_ref()) {
                    bar.set_position(bytes);
                }
            }
            Event::Output { id, line } => self.output(id, line),
            Event::Finished { id, outcome, took } => self.finished(id, outcome, took),
            Event::Note { text } => self.printer.note(&clean(text)),
            _ => {}
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A line that cannot move the cursor or recolour the terminal: what a carriage return would
/// overwrite is dropped, escape sequences and other controls go. Programs in a container say what
/// they like.
fn clean(line: &str) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let line = line.rsplit('\r').next().unwrap_or(line);
    let plain = anstream::adapter::strip_str(line).to_string();
    let mut text: String = plain
        .chars()
        .filter(|c| *c == '\t' || !c.is_control())
        .take(LINE_LIMIT + 1)
        .collect();
    if text.chars().count() > LINE_LIMIT {
        text.truncate(text.char_indices().nth(LINE_LIMIT).map_or(0, |(at, _)| at));
        text.push('…');
    }
    text
}
