//! Declaring files.

use nd_report::{Diagnostic, Severity};
use nd_yaml::{Node, Value as Yaml};

use crate::{
    FileKind, Folder, codes, is_confined, raw, resolved::DeclaredFile, text::guest_filename,
};

use super::Compiler;

impl Compiler<'_, '_> {
    /// Declares a file from here on, if its condition holds.
    pub(super) fn declare(&mut self, file: &raw::File<'_>) {
        if !self.applies(file.condition) {
            return;
        }
        let name = self.render_text(file.name);
        let filename = self.render_optional(file.filename);
        let url = self.render_optional(file.url);
        let contents = self.render_optional(file.contents);
        let (Some(name), Some(filename), Some(url), Some(contents)) =
            (name, filename, url, contents)
        else {
            return;
        };
        let guest_name = guest_filename(&name, url.as_deref());
        if !self.upstream && !self.check_names(file, &name, &guest_name, filename.as_deref()) {
            return;
        }
        let known = self
            .world
            .state()
            .files
            .get(&name)
            .map(|known| known.origin.clone());
        if let Some(known) = known {
            let mut found = Diagnostic::new(
                codes::DUPLICATE_FILE,
                Severity::Error,
                format!("duplicate declared file: {name}"),
            )
            .at(file.name.span, "again here");
            if let Some(first) = known.span {
                found = found.at(first, "first here");
            }
            self.sink.push(found);
            return;
        }
        let declared = DeclaredFile {
            name: name.clone(),
            guest_name,
            contents,
            filename,
            url,
            sha256: file.sha256.map(|digest| digest.value),
            executable: file.executable,
            retry: file.retry,
            insecure: file.insecure,
            refresh: file.refresh,
            origin: self.origin(file.name.span),
        };
        self.world.state().files.insert(name, declared);
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one says whether rendering went well"
    )]
    fn render_optional(&mut self, node: Option<&Node>) -> Option<Option<String>> {
        match node {
            None => Some(None),
            Some(node) if matches!(node.value, Yaml::Null) => Some(None),
            Some(node) => self.render_text(node).map(Some),
        }
    }

    /// Whether all names of a file stay in their folders and the file is there.
    fn check_names(
        &mut self,
        file: &raw::File<'_>,
        name: &str,
        guest: &str,
        filename: Option<&str>,
    ) -> bool {
        for (what, path) in [("file name", name), ("name in the image", guest)] {
            if !is_confined(path) {
                let shown: String = path.chars().take(60).collect();
                let message = format!("{what} `{}` is not a relative path", shown.escape_debug());
                self.error(codes::UNSAFE_PATH, file.name.span, message);
                return false;
            }
        }
        let (Some(path), Some(node)) = (filename, file.filename) else {
            return true;
        };
        let path = path.strip_prefix("./").unwrap_or(path);
        if !is_confined(path) {
            let shown: String = path.chars().take(60).collect();
            let message = format!(
                "`filename` `{}` is not a path below the recipe's folder",
                shown.escape_debug()
            );
            self.error(codes::UNSAFE_PATH, node.span, message);
            return false;
        }
        if self.files.kind(Folder::Recipe, path) != Some(FileKind::File) {
            let message =
                format!("declared file not found: `{path}` is not in the recipe's folder");
            self.error(codes::SOURCE_MISSING, node.span, message);
            // It counts as declared all the same: its uses are not wrong.
        }
        true
    }
}
