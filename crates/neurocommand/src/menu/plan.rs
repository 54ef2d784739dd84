//! Everything a menu consists of, from the catalogue, in memory.

use std::{borrow::Cow, collections::BTreeMap};

use camino::{Utf8Path, Utf8PathBuf};
use nd_report::{Diagnostic, Severity, Sink};

use super::{
    categories::{ALL, CATEGORIES, MenuCategory, slug},
    entries::{Entry, directory, launcher},
    icons::letter_icon,
};
use crate::{
    catalogue::{App, Catalogue, Container},
    codes,
    deployment::{Deployment, Desktop},
};

/// Icons by their stem.
pub trait Icons {
    /// The PNG called `stem`, if there is one.
    fn icon(&self, stem: &str) -> Option<Vec<u8>>;
}

/// No icons: letters are drawn instead.
#[derive(Debug, Clone, Copy)]
pub struct NoIcons;

impl Icons for NoIcons {
    fn icon(&self, _stem: &str) -> Option<Vec<u8>> {
        None
    }
}

/// A file of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Files by their path below the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuPlan {
    /// The folder that gets them.
    pub prefix: Utf8PathBuf,
    /// The files.
    pub files: BTreeMap<Utf8PathBuf, PlannedFile>,
    /// How many applications a menu shows.
    pub shown: usize,
}

/// Plans the menu of `catalogue` below `prefix`, an absolute path. `program` is what launchers call when
/// the deployment names nothing. Categories that no folder has go to `sink`.
pub fn plan(
    catalogue: &Catalogue,
    deployment: &Deployment,
    prefix: &Utf8Path,
    program: &str,
    icons: &dyn Icons,
    sink: &mut Sink,
) -> MenuPlan {
    let mut planner = Planner {
        deployment,
        icons,
        program,
        plan: MenuPlan {
            prefix: prefix.to_owned(),
            files: BTreeMap::new(),
            shown: 0,
        },
    };
    for (_, app) in catalogue.apps() {
        planner.launcher(app);
    }
    if deployment.desktop != Desktop::Cli {
        planner.folders();
        for container in &catalogue.containers {
            planner.container(container);
        }
        planner.help();
        let menu = menu(catalogue, deployment, sink);
        planner.file(deployment.menu_file().as_str(), 0o644, menu);
    }
    planner.plan
}

struct Planner<'p> {
    deployment: &'p Deployment,
    icons: &'p dyn Icons,
    program: &'p str,
    plan: MenuPlan,
}

impl Planner<'_> {
    fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.plan
            .files
            .insert(path.into(), PlannedFile { mode, bytes });
    }

    /// Plans the icon called `stem` and gives its place.
    fn icon(&mut self, stem: &str) -> Utf8PathBuf {
        let path = Utf8PathBuf::from(format!("icons/{stem}.png"));
        let place = self.plan.prefix.join(&path);
        if !self.plan.files.contains_key(&path) {
            let bytes = self.icons.icon(stem).unwrap_or_else(|| letter_icon(stem));
            self.plan
                .files
                .insert(path, PlannedFile { mode: 0o644, bytes });
        }
        place
    }

    fn launcher(&mut self, app: &App) {
        let words = launcher_words(self.deployment, self.program, app);
        let text = launcher(self.deployment, &words);
        self.file(&format!("bin/{}.sh", app.basename()), 0o755, text);
    }

    /// Folders of the project and of the categories.
    fn folders(&mut self) {
        let slug = self.deployment.slug.clone();
        let icon = self.icon(&slug);
        let text = directory(&self.deployment.brand, &icon);
        self.file(
            &format!("desktop-directories/{slug}.directory"),
            0o644,
            text,
        );
        for MenuCategory { name, slug, icon } in CATEGORIES {
            let icon = self.icon(icon);
            self.file(
                &format!("desktop-directories/{slug}.directory"),
                0o644,
                directory(name, &icon),
            );
        }
    }

    fn container(&mut self, container: &Container) {
        let mut any = false;
        let category = self.deployment.category(&container.name);
        for app in container.apps.iter().filter(|app| app.show_in_menu) {
            any = true;
            self.plan.shown += 1;
            let icon = self.icon(app.icon()).into_string();
            let basename = app.basename();
            let launcher = self
                .plan
                .prefix
                .join(format!("bin/{basename}.sh"))
                .into_string();
            let name = app.display_name();
            let entry = Entry::of(
                app,
                &name,
                launcher,
                icon,
                category.clone(),
                &container.categories,
            );
            let text = entry.text(self.deployment);
            self.file(&format!("applications/{basename}.desktop"), 0o644, text);
        }
        if any {
            let icon = self.icon(&container.name.replace(' ', "-"));
            let text = directory(&title(&container.name), &icon);
            let path = format!(
                "desktop-directories/apps/{}.directory",
                slug(&container.name)
            );
            self.file(&path, 0o644, text);
        }
    }

    /// The entry that opens the project's page.
    fn help(&mut self) {
        let Some(url) = self.deployment.help_url.clone() else {
            return;
        };
        let entry = Entry {
            name: "Help",
            comment: &format!("Help for {}", self.deployment.brand),
            command: vec!["xdg-open".to_owned(), url],
            opens: Vec::new(),
            icon: self.icon("Help").into_string(),
            category: format!("X-{}", self.deployment.slug),
            terminal: false,
            keywords: Vec::new(),
        };
        let text = entry.text(self.deployment);
        self.file("applications/help.desktop", 0o644, text);
    }
}

/// What a launcher runs: the program, container, version, and the words of the command.
fn launcher_words(deployment: &Deployment, program: &str, app: &App) -> Vec<String> {
    let mut words = if deployment.launcher.is_empty() {
        vec![program.to_owned(), "run".to_owned()]
    } else {
        deployment.launcher.clone()
    };
    words.push(app.identity.container.clone());
    words.push(app.identity.version.clone());
    words.extend(app.words.iter().cloned());
    words
}

/// A name with its first letter in upper case.
fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn escape(text: &str) -> Cow<'_, str> {
    if text.contains(['&', '<', '>', '"']) {
        Cow::Owned(
            text.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;"),
        )
    } else {
        Cow::Borrowed(text)
    }
}

/// The text of the `.menu` file.
fn menu(catalogue: &Catalogue, deployment: &Deployment, sink: &mut Sink) -> String {
    let mut by_slug: BTreeMap<String, Vec<&Container>> = BTreeMap::new();
    for container in &catalogue.containers {
        if !container.apps.iter().any(|app| app.show_in_menu) {
            continue;
        }
        let mut slugs = vec![ALL.slug.to_owned()];
        for category in &container.categories {
            let slug = slug(category);
            if !CATEGORIES.iter().any(|known| known.slug == slug) {
                let message = format!(
                    "category `{category}` of `{}` has no folder in the menu",
                    container.name
                );
                sink.push(
                    Diagnostic::new(codes::UNKNOWN_CATEGORY, Severity::Note, message)
                        .at(container.span, ""),
                );
            } else if !slugs.contains(&slug) {
                slugs.push(slug);
            }
        }
        for slug in slugs {
            by_slug.entry(slug).or_default().push(container);
        }
    }
    let mut out = Xml(String::from(
        "<!DOCTYPE Menu PUBLIC \"-//freedesktop//DTD Menu 1.0//EN\"\n \"http://www.freedesktop.org/standards/menu-spec/1.0/menu.dtd\">\n\n",
    ));
    let slug = &deployment.slug;
    out.open(0, "Menu");
    out.leaf(1, "Name", "Applications");
    out.open(1, "Menu");
    out.folder(
        2,
        &deployment.brand,
        &format!("{slug}/{slug}.directory"),
        &format!("X-{slug}"),
    );
    for category in CATEGORIES {
        out.open(2, "Menu");
        out.folder(
            3,
            category.name,
            &format!("{slug}/{}.directory", category.slug),
            &format!("X-{slug}-folder-{}", category.slug),
        );
        for container in by_slug.get(category.slug).into_iter().flatten() {
            out.open(3, "Menu");
            out.folder(
                4,
                &title(&container.name),
                &format!("{slug}/apps/{}.directory", self::slug(&container.name)),
                &deployment.category(&container.name),
            );
            out.close(3, "Menu");
        }
        out.close(2, "Menu");
    }
    out.close(1, "Menu");
    out.close(0, "Menu");
    out.0
}

/// XML, one element per line.
struct Xml(String);

impl Xml {
    fn line(&mut self, level: usize, text: &str) {
        self.0.extend(std::iter::repeat_n('\t', level));
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn open(&mut self, level: usize, tag: &str) {
        self.line(level, &format!("<{tag}>"));
    }

    fn close(&mut self, level: usize, tag: &str) {
        self.line(level, &format!("</{tag}>"));
    }

    fn leaf(&mut self, level: usize, tag: &str, text: &str) {
        self.line(level, &format!("<{tag}>{}</{tag}>", escape(text)));
    }

    fn folder(&mut self, level: usize, name: &str, directory: &str, category: &str) {
        self.leaf(level, "Name", name);
        self.leaf(level, "Directory", directory);
        self.open(level, "Include");
        self.open(level + 1, "And");
        self.leaf(level + 2, "Category", category);
        self.close(level + 1, "And");
        self.close(level, "Include");
    }
}
