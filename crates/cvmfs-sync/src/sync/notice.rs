//! What stands in place of a command that is gone.

use nd_names::ImageName;

/// What every notice says; others look for it.
pub const NOTICE: &str = "This container was disabled due to a known bug or vulnerability.";

/// A script that says that its container is gone, and fails. The image can still be had from its
/// registry, for whoever has to reproduce something.
pub fn notice(image: &ImageName) -> String {
    let name = format!("{}_{}:{}", image.app, image.version, image.date);
    format!(
        "#!/bin/sh\n\
         echo '{NOTICE}' >&2\n\
         echo 'Please use another version. To reproduce earlier results: apptainer pull docker://vnmd/{name}' >&2\n\
         exit 1\n"
    )
}

/// Whether a file is such a notice already, ours or upstream's.
pub fn is_notice(text: &[u8], image: &ImageName) -> bool {
    let hint = format!(
        "docker://vnmd/{}_{}:{}",
        image.app, image.version, image.date
    );
    let has = |part: &[u8]| text.windows(part.len()).any(|found| found == part);
    has(NOTICE.as_bytes()) && has(hint.as_bytes())
}
