//! The sections of a definition file in their order.

use std::fmt::Write as _;

use super::{
    ASIDE, Writer,
    words::{double_quoted, single_line, single_quoted},
};

/// Puts what lies aside in its place as a Dockerfile's `COPY` does: of a folder its content, a
/// file into a folder or under a new name.
const COPY: &str = r#"nd_copy() {
    for nd_item in "$1"/* "$1"/.[!.]*; do
        if [ -d "$nd_item" ]; then
            mkdir -p "$2"
            cp -a "$nd_item/." "$2/"
        elif [ -e "$nd_item" ] || [ -L "$nd_item" ]; then
            if [ "$3" = folder ] || [ -d "$2" ]; then
                mkdir -p "$2"
                cp -a "$nd_item" "$2/"
            else
                mkdir -p "$(dirname "$2")"
                cp -a "$nd_item" "$2"
            fi
        fi
    done
}
"#;

impl Writer<'_> {
    /// All of a stage: the stages of images it copies from, header, sections.
    pub(super) fn finish(
        self,
        name: Option<&str>,
        base: Option<&(String, String)>,
        end_of_post: &str,
    ) -> String {
        let mut out = String::new();
        for (name, image) in &self.sources {
            _ = writeln!(out, "Bootstrap: docker\nFrom: {image}\nStage: {name}\n");
        }
        let (agent, from) = base.unwrap_or(&self.base);
        _ = writeln!(out, "Bootstrap: {}", single_line(agent));
        if !from.is_empty() {
            _ = writeln!(out, "From: {}", single_line(from));
        }
        if let Some(name) = name {
            _ = writeln!(out, "Stage: {}", single_line(name));
        }
        if !self.arguments.is_empty() {
            out.push_str("\n%arguments\n");
            for (name, default) in &self.arguments {
                _ = writeln!(out, "    {name}={default}");
            }
        }
        let mut stages: Vec<&Option<String>> = self.files.iter().map(|(stage, _)| stage).collect();
        stages.sort();
        stages.dedup();
        for stage in stages {
            match stage {
                None => out.push_str("\n%files\n"),
                Some(name) => _ = write!(out, "\n%files from {name}\n"),
            }
            for (_, line) in self.files.iter().filter(|(from, _)| from == stage) {
                _ = writeln!(out, "    {line}");
            }
        }
        out.push_str("\n%post\nset -e\n");
        if self.copies > 0 {
            out.push_str(COPY);
        }
        out.push_str(&self.post);
        if self.copies > 0 {
            _ = writeln!(out, "rm -rf {ASIDE}");
        }
        for mount in &self.mounts {
            _ = writeln!(out, "rm -rf {}", double_quoted(mount));
        }
        out.push_str(end_of_post);
        if !self.environment.is_empty() {
            out.push_str("\n%environment\n");
            for line in &self.environment {
                _ = writeln!(out, "    {line}");
            }
        }
        if let Some(argv) = &self.entrypoint {
            let words: Vec<String> = argv.iter().map(|word| single_quoted(word)).collect();
            _ = write!(out, "\n%runscript\n    exec {} \"$@\"\n", words.join(" "));
        }
        if !self.labels.is_empty() {
            out.push_str("\n%labels\n");
            for (name, value) in &self.labels {
                _ = writeln!(out, "    {name} {value}");
            }
        }
        out
    }
}
