//! Diagnostics with the text they speak of.

use std::{collections::BTreeMap, fmt};

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode, SourceSpan,
};
use nd_report::{Diagnostic, FileId, Severity};

mod excerpt;

use excerpt::Excerpt;

/// The files that spans point into.
#[derive(Debug, Clone, Default)]
pub struct Sources(BTreeMap<FileId, NamedSource<String>>);

impl Sources {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file by the name that people see.
    pub fn insert(&mut self, file: FileId, name: impl AsRef<str>, text: impl Into<String>) {
        self.0.insert(file, NamedSource::new(name, text.into()));
    }

    /// Adds a file and returns these sources.
    #[must_use]
    pub fn with(mut self, file: FileId, name: impl AsRef<str>, text: impl Into<String>) -> Self {
        self.insert(file, name, text);
        self
    }

    /// Adds the files of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The name of a file.
    pub fn name(&self, file: FileId) -> Option<&str> {
        self.0.get(&file).map(NamedSource::name)
    }

    /// The text of a file.
    pub fn text(&self, file: FileId) -> Option<&str> {
        self.0.get(&file).map(|source| source.inner().as_str())
    }

    /// The files in the order of their numbers.
    pub fn files(&self) -> impl Iterator<Item = FileId> {
        self.0.keys().copied()
    }
}

/// How diagnostics look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiagnosticStyle {
    /// Whether to use colour.
    pub color: bool,
    /// Columns.
    pub width: usize,
}

impl DiagnosticStyle {
    /// No colour, 80 columns: the same text on every machine.
    pub const PLAIN: Self = Self {
        color: false,
        width: 80,
    };

    /// As standard output takes it: colour as `--color` and the stream say, and the terminal's
    /// width within reason.
    pub fn of_stdout() -> Self {
        let choice = anstream::AutoStream::choice(&std::io::stdout());
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| width.0);
        Self {
            color: choice != anstream::ColorChoice::Never,
            width: usize::from(width).clamp(60, 120),
        }
    }
}

/// Renders all of `diagnostics`, one after the other.
pub fn render_diagnostics(
    diagnostics: &[Diagnostic],
    sources: &Sources,
    style: DiagnosticStyle,
) -> String {
    diagnostics
        .iter()
        .map(|diagnostic| render_diagnostic(diagnostic, sources, style))
        .collect()
}

/// Renders one diagnostic: code, message, the lines it speaks of, hints.
pub fn render_diagnostic(
    diagnostic: &Diagnostic,
    sources: &Sources,
    style: DiagnosticStyle,
) -> String {
    let theme = if style.color {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let mut text = String::new();
    let rendered = GraphicalReportHandler::new_themed(theme)
        .with_width(style.width)
        .with_links(false)
        .render_report(&mut text, &Adapter::new(diagnostic, sources));
    if rendered.is_err() {
        // A span that does not fit its text must not hide the message.
        text = format!(
            "{} {}: {}\n",
            diagnostic.code, diagnostic.severity, diagnostic.message
        );
    }
    text.lines()
        .flat_map(|line| [line.trim_end(), "\n"])
        .collect()
}

/// A diagnostic as miette wants it; labels in further files follow as related diagnostics.
#[derive(Debug)]
struct Adapter {
    message: String,
    code: Option<String>,
    severity: miette::Severity,
    help: Option<String>,
    source: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
    related: Vec<Adapter>,
}

impl Adapter {
    fn new(diagnostic: &Diagnostic, sources: &Sources) -> Self {
        let severity = match diagnostic.severity {
            Severity::Note => miette::Severity::Advice,
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        };
        let main = diagnostic.labels.first().map(|label| label.span.file);
        let hints: Vec<&str> = diagnostic
            .hints
            .iter()
            .map(|hint| hint.text.as_str())
            .collect();
        let mut files: Vec<FileId> = Vec::new();
        for label in &diagnostic.labels {
            if Some(label.span.file) != main && !files.contains(&label.span.file) {
                files.push(label.span.file);
            }
        }
        let related = files
            .into_iter()
            .map(|file| {
                let (source, labels) = labels_in(diagnostic, file, sources);
                Self {
                    message: "see also".to_owned(),
                    code: None,
                    severity: miette::Severity::Advice,
                    help: None,
                    source,
                    labels,
                    related: Vec::new(),
                }
            })
            .collect();
        let (source, labels) = main.map_or_else(
            || (None, Vec::new()),
            |file| labels_in(diagnostic, file, sources),
        );
        Self {
            message: diagnostic.message.clone(),
            code: Some(diagnostic.code.to_string()),
            severity,
            help: (!hints.is_empty()).then(|| hints.join("\n")),
            source,
            labels,
            related,
        }
    }
}

/// The labels in one file, with the lines they speak of.
fn labels_in(
    diagnostic: &Diagnostic,
    file: FileId,
    sources: &Sources,
) -> (Option<Excerpt>, Vec<LabeledSpan>) {
    let labels = diagnostic
        .labels
        .iter()
        .filter(|label| label.span.file == file);
    let texts = labels
        .clone()
        .map(|label| (!label.text.is_empty()).then(|| label.text.clone()));
    let Some(source) = sources.0.get(&file) else {
        let none = texts.map(|text| LabeledSpan::new(text, 0, 0)).collect();
        return (None, none);
    };
    let text = source.inner();
    // Offsets may be those of bytes that are no text; the nearest characters have to do.
    let within = |at: usize| (0..=at.min(text.len())).rfind(|at| text.is_char_boundary(*at));
    let places: Vec<_> = labels
        .clone()
        .map(|label| {
            let range = label.span.range();
            let start = within(range.start).unwrap_or_default();
            start..within(range.end).unwrap_or_default().max(start)
        })
        .collect();
    let (excerpt, places) = Excerpt::new(source.name(), source.inner(), &places);
    let spans = texts
        .zip(places)
        .map(|(text, place)| {
            LabeledSpan::new_with_span(text, SourceSpan::new(place.start.into(), place.len()))
        })
        .collect();
    (Some(excerpt), spans)
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Adapter {}

impl miette::Diagnostic for Adapter {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code
            .as_ref()
            .map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty())
            .then(|| Box::new(self.labels.iter().cloned()) as Box<dyn Iterator<Item = LabeledSpan>>)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        (!self.related.is_empty()).then(|| {
            Box::new(
                self.related
                    .iter()
                    .map(|adapter| adapter as &dyn miette::Diagnostic),
            ) as Box<dyn Iterator<Item = &dyn miette::Diagnostic>>
        })
    }
}
