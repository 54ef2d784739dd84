//! Reading release records and recipes from disk.

use std::{borrow::Cow, io, path::Path};

use nd_host::{NodeKind, RootDir};
use nd_report::{Diagnostic, FileId, Severity, Sink};
use neurocontainers_recipe::{
    Compat, Compiled, FileKind, Folder, LoadOptions, ReadError, RecipeFiles, Request,
    resolved::Facts,
};

use crate::{
    catalogue::{Release, WebappRecipe},
    codes,
    find::{About, Index},
    json::{Limits, Member, Node, parse, shown},
};

/// Largest release record, in bytes.
const RECORD_LIMIT: u64 = 4 << 20;

/// A text that was read, for diagnostics.
#[derive(Debug, Clone)]
pub struct ReadText {
    /// What spans call it.
    pub file: FileId,
    /// How people call it.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Reads every `CONTAINER/STEM.json` below `folder`; `shown_as` stands before names. Problems go to
/// `sink`, texts to `texts`; files are numbered from the number of `texts` on.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn read_releases(
    folder: &Path,
    shown_as: &str,
    texts: &mut Vec<ReadText>,
    sink: &mut Sink,
) -> io::Result<Vec<Release>> {
    let root = RootDir::open(folder)?;
    let mut releases = Vec::new();
    for container in root.names(b"")? {
        if root
            .node(&container, false)?
            .is_none_or(|node| node.kind != NodeKind::Directory)
        {
            continue;
        }
        for name in root.names(&container)? {
            let Some(stem) = name.strip_suffix(b".json") else {
                continue;
            };
            let path = [&container[..], b"/", &name].concat();
            let name = format!("{shown_as}/{}", String::from_utf8_lossy(&path));
            let mut unreadable = |why: &str| {
                let message = format!("cannot read `{}`: {why}", shown(&name));
                sink.push(Diagnostic::new(codes::SYNTAX, Severity::Error, message));
            };
            let (Ok(container), Ok(stem)) =
                (std::str::from_utf8(&container), std::str::from_utf8(stem))
            else {
                unreadable("its name is no UTF-8");
                continue;
            };
            let text = match root.read(&path, RECORD_LIMIT).map(String::from_utf8) {
                Ok(Ok(text)) => text,
                Ok(Err(_)) => {
                    unreadable("it is no UTF-8");
                    continue;
                }
                Err(error) => {
                    unreadable(&error.to_string());
                    continue;
                }
            };
            let file = FileId(texts.len() as u32);
            let document = parse(&text, file, &Limits::default(), sink);
            texts.push(ReadText { file, name, text });
            if let Some(document) = document {
                releases.push(Release {
                    container: container.to_owned(),
                    stem: stem.to_owned(),
                    document,
                });
            }
        }
    }
    Ok(releases)
}

/// A recipe's folder on disk; links lead nowhere outside of it.
struct DiskFiles {
    recipe: RootDir,
    include: Option<RootDir>,
}

impl DiskFiles {
    fn folder(&self, folder: Folder) -> Option<&RootDir> {
        match folder {
            Folder::Recipe => Some(&self.recipe),
            Folder::Include => self.include.as_ref(),
        }
    }
}

impl RecipeFiles for DiskFiles {
    fn read(&self, folder: Folder, path: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        let root = self.folder(folder).ok_or(ReadError::Absent)?;
        root.read(path.as_bytes(), limit as u64)
            .map(Cow::Owned)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::Absent,
                io::ErrorKind::FileTooLarge => ReadError::TooLarge { limit },
                io::ErrorKind::InvalidInput => ReadError::Outside,
                _ => ReadError::Io(error),
            })
    }

    fn kind(&self, folder: Folder, path: &str) -> Option<FileKind> {
        let node = self.folder(folder)?.node(path.as_bytes(), true).ok()??;
        match node.kind {
            NodeKind::File => Some(FileKind::File),
            NodeKind::Directory => Some(FileKind::Directory),
            _ => None,
        }
    }
}

/// A recipe that was found.
struct FoundRecipe {
    /// Name of its folder.
    folder: String,
    facts: Facts,
    files: DiskFiles,
    recipe: neurocontainers_recipe::Recipe,
}

/// Calls `visit` for each recipe below `folder`, in the order of their names. Recipes that cannot be read
/// are told as warnings: lists over many must not end with one.
fn each_recipe(
    folder: &Path,
    sink: &mut Sink,
    mut visit: impl FnMut(FoundRecipe, &mut Sink),
) -> io::Result<()> {
    let root = RootDir::open(folder)?;
    for name in root.names(b"")? {
        let path = [&name[..], b"/build.yaml"].concat();
        if root
            .node(&path, true)?
            .is_none_or(|node| node.kind != NodeKind::File)
        {
            continue;
        }
        let name = String::from_utf8_lossy(&name).into_owned();
        let files = DiskFiles {
            recipe: root.directory(name.as_bytes())?,
            include: folder
                .parent()
                .and_then(|parent| RootDir::open(parent).ok()),
        };
        let mut found = Sink::new();
        let load = |compat, sink: &mut Sink| {
            let options = LoadOptions {
                compat,
                ..LoadOptions::default()
            };
            neurocontainers_recipe::load(&files, &name, &options, sink)
        };
        // What upstream lets pass is listed as well; what is wrong for both is told in our words.
        let recipe =
            load(Compat::Improved, &mut found).or_else(|| load(Compat::Upstream, &mut Sink::new()));
        let facts = recipe
            .as_ref()
            .and_then(neurocontainers_recipe::Recipe::facts);
        if let (Some(recipe), Some(facts)) = (recipe, facts) {
            let found = FoundRecipe {
                folder: name,
                facts,
                files,
                recipe,
            };
            visit(found, sink);
        } else {
            let why = found
                .diagnostics()
                .iter()
                .find(|found| found.severity == Severity::Error);
            let why = why.map_or("it is not complete", |found| found.message.as_str());
            let message = format!("recipe `{}` is left out: {why}", shown(&name));
            sink.push(Diagnostic::new(codes::WEBAPP, Severity::Warning, message));
        }
    }
    Ok(())
}

/// Web applications of the recipes below `recipes` that have a record below `releases`.
///
/// # Errors
///
/// When a folder cannot be read.
pub fn read_webapps(
    recipes: &Path,
    releases: &Path,
    sink: &mut Sink,
) -> io::Result<Vec<WebappRecipe>> {
    let records = RootDir::open(releases)?;
    let mut all = Vec::new();
    each_recipe(recipes, sink, |found, _| {
        let Some(webapp) = found.facts.webapp else {
            return;
        };
        let released = records
            .names(found.facts.name.as_bytes())
            .is_ok_and(|names| names.iter().any(|name| name.ends_with(b".json")));
        if !released {
            return;
        }
        let icon = webapp
            .fields
            .get("icon")
            .and_then(serde_json::Value::as_str);
        let icon_exists =
            icon.is_some_and(|icon| found.files.kind(Folder::Recipe, icon) == Some(FileKind::File));
        let fields = webapp
            .fields
            .iter()
            .map(|(key, value)| (key.clone(), Member::new(Node::from(value))))
            .collect();
        all.push(WebappRecipe {
            name: found.folder,
            version: found.facts.version,
            fields,
            icon_exists,
        });
    })?;
    Ok(all)
}

/// Descriptions and commands of the recipes below `recipes`, by concrete container.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn read_index(recipes: &Path, sink: &mut Sink) -> io::Result<Index> {
    let mut index = Index::default();
    each_recipe(recipes, sink, |found, _| {
        let mut unsaid = Sink::new();
        let variants = found.recipe.variants(&mut unsaid).unwrap_or_default();
        for concrete in variants {
            let mut request = Request::new(concrete.architecture);
            request.architecture = Some(concrete.architecture);
            request.variant.clone_from(&concrete.selector);
            let compiled =
                neurocontainers_recipe::compile(&found.recipe, &request, &found.files, &mut unsaid);
            let name = concrete.name.clone();
            index
                .containers
                .insert(name, about(&found.facts, compiled.as_ref()));
        }
        if unsaid.has_errors() {
            index
                .containers
                .entry(found.facts.name.clone())
                .or_insert_with(|| about(&found.facts, None));
        }
    })?;
    Ok(index)
}

fn about(facts: &Facts, compiled: Option<&Compiled>) -> About {
    let description = facts.description.clone().unwrap_or_default();
    let mut commands: Vec<String> = compiled
        .map(|compiled| compiled.deploy.bins.clone())
        .unwrap_or_default()
        .iter()
        .filter_map(|bin| bin.rsplit('/').next())
        .filter(|bin| !bin.is_empty())
        .map(str::to_owned)
        .collect();
    commands.sort();
    commands.dedup();
    About {
        description: description.split_whitespace().collect::<Vec<_>>().join(" "),
        commands,
    }
}

/// PNG icons from the recipes below `recipes`: by the name of the container. Icons of other types are told.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn read_icons(recipes: &Path, sink: &mut Sink) -> io::Result<Vec<(String, Vec<u8>)>> {
    use base64::Engine as _;
    let mut all = Vec::new();
    each_recipe(recipes, sink, |found, sink| {
        let Some(icon) = &found.facts.icon else {
            return;
        };
        let data = icon.trim().strip_prefix("data:image/png;base64,");
        let bytes =
            data.and_then(|data| base64::engine::general_purpose::STANDARD.decode(data).ok());
        if let Some(bytes) = bytes.filter(|bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n")) {
            all.push((found.facts.name, bytes));
        } else {
            let message = format!("the icon of recipe `{}` is no PNG", found.folder);
            sink.push(Diagnostic::new(codes::WEBAPP, Severity::Warning, message));
        }
    })?;
    Ok(all)
}
