//! The picture of a container.

use std::io::Cursor;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nd_report::{Code, Diagnostic, Severity, Sink};
use nd_yaml::Node;

use super::{Recipe, Rule, codes};

/// Whether menus can show the icon.
pub(super) struct Icon;

/// Pixels on a side below which an icon is a placeholder.
const SMALLEST: u32 = 16;
/// Pixels on a side above which an icon is a waste.
const LARGEST: u32 = 512;
/// Bytes that an icon may have when it is decoded.
const MEMORY: usize = 64 << 20;

impl Rule for Icon {
    fn check(&self, recipe: &Recipe<'_>, out: &mut Sink) {
        let Some(node) = recipe.root.get("icon") else {
            return;
        };
        // What is no data URI at all is said when the recipe is decoded.
        let Some((subtype, bytes)) = node.as_str().and_then(data_uri) else {
            return;
        };
        if subtype != "png" {
            let other = sniff(&bytes).filter(|found| *found != subtype);
            match other {
                Some(other) => report(
                    node,
                    codes::ICON_BROKEN,
                    Severity::Warning,
                    format!("the icon says it is `{subtype}` and is `{other}`"),
                    out,
                ),
                None => report(
                    node,
                    codes::ICON_TYPE,
                    Severity::Warning,
                    format!("the icon is `{subtype}`, which older menus do not show"),
                    out,
                ),
            }
            return;
        }
        match size_of_png(&bytes) {
            Err(problem) => report(
                node,
                codes::ICON_BROKEN,
                Severity::Warning,
                format!("the icon cannot be decoded: {problem}"),
                out,
            ),
            Ok((width, height)) => {
                if width != height {
                    report(
                        node,
                        codes::ICON_SHAPE,
                        Severity::Note,
                        format!("the icon has {width} by {height} pixels and is not square"),
                        out,
                    );
                }
                if width.max(height) < SMALLEST || width.max(height) > LARGEST {
                    report(
                        node,
                        codes::ICON_SIZE,
                        Severity::Note,
                        format!(
                            "the icon has {width} by {height} pixels; {SMALLEST} to {LARGEST} are shown well"
                        ),
                        out,
                    );
                }
            }
        }
    }
}

/// Subtype and bytes of `data:image/SUBTYPE;base64,…`.
fn data_uri(text: &str) -> Option<(&str, Vec<u8>)> {
    let (subtype, data) = text
        .trim()
        .strip_prefix("data:image/")?
        .split_once(";base64,")?;
    // Nearly always the data are one word.
    let decoded = STANDARD.decode(data).or_else(|_| {
        let data: Vec<u8> = data
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        STANDARD.decode(data)
    });
    Some((subtype, decoded.ok()?))
}

/// The type that the first bytes show, as subtype.
fn sniff(bytes: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 4] = [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff", "jpeg"),
        (b"GIF8", "gif"),
        (b"RIFF", "webp"),
    ];
    known
        .iter()
        .find(|(magic, _)| bytes.starts_with(magic))
        .map(|(_, name)| *name)
}

/// Decodes a PNG image completely and returns its width and height.
fn size_of_png(bytes: &[u8]) -> Result<(u32, u32), &'static str> {
    if sniff(bytes).is_none_or(|found| found != "png") {
        return Err("it is no PNG image");
    }
    let limits = png::Limits { bytes: MEMORY };
    let decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    let mut reader = decoder.read_info().map_err(words)?;
    let size = reader.output_buffer_size().filter(|size| *size <= MEMORY);
    size.ok_or("it has too many pixels")?;
    while reader.next_row().map_err(words)?.is_some() {}
    // The end: an image that is cut behind its pixels is cut as well.
    reader.finish().map_err(words)?;
    let info = reader.info();
    Ok((info.width, info.height))
}

/// What is wrong with an image, for people.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` takes"
)]
fn words(error: png::DecodingError) -> &'static str {
    match error {
        png::DecodingError::IoError(_) => "it ends too early",
        png::DecodingError::LimitsExceeded => "it has too many pixels",
        png::DecodingError::Format(_) | png::DecodingError::Parameter(_) => "its data are damaged",
    }
}

fn report(node: &Node, code: Code, severity: Severity, message: String, out: &mut Sink) {
    // The data are thousands of letters; their start is enough to point at.
    let mut span = node.span;
    span.end = span.end.min(span.start + 32);
    out.push(
        Diagnostic::new(code, severity, message)
            .at(span, "")
            .hint("use a square PNG image with 64 to 256 pixels on a side"),
    );
}
