//! Finding the repository and a recipe in it.

use std::path::{Path, PathBuf};

use nd_host::Environment;

/// Marks of a repository's root besides its `recipes`.
const MARKS: [&str; 5] = [
    "pyproject.toml",
    "releases",
    ".git",
    "neurodesk.toml",
    "Cargo.toml",
];

/// Where recipes are and where outputs go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The repository: include folders and paths in outputs are relative to it.
    pub root: PathBuf,
    /// Folder of recipes by name.
    pub recipes: PathBuf,
    /// Folder that gets `build` and `releases`.
    pub output: PathBuf,
}

/// A recipe's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeFolder {
    /// The folder.
    pub path: PathBuf,
    /// The folder as people call it, relative to the repository where it lies in it.
    pub shown: String,
    /// The version that was asked for with the name.
    pub version: Option<String>,
}

/// Why there is no recipe.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// No folder of recipes.
    #[error("there are no recipes here, and none in a repository above")]
    NoRepository,
    /// No recipe where the caller stands.
    #[error("there is no `build.yaml` here")]
    NotHere,
    /// No recipe of that name or at that place.
    #[error("recipe not found: {asked}")]
    NotFound {
        /// What was asked for.
        asked: String,
        /// Recipes with similar names.
        similar: Vec<String>,
    },
}

impl Places {
    /// The places of this run: options win over what is found from the working directory upwards.
    pub fn find(
        environment: &Environment,
        recipes: Option<&Path>,
        output: Option<&Path>,
    ) -> Result<Self, PlaceError> {
        let here = environment.working_directory();
        let output = output.map(|path| environment.absolute(path));
        let repository = || here.ancestors().find(|folder| is_repository(folder));
        let (root, recipes) = match (recipes, repository()) {
            (Some(folder), _) => at(&environment.absolute(folder)),
            (None, Some(root)) => (root.to_path_buf(), root.join("recipes")),
            // Copied recipes, without the repository around them.
            (None, None) if holds_recipes(here) || holds_recipes(&here.join("recipes")) => at(here),
            (None, None) => return Err(PlaceError::NoRepository),
        };
        Ok(Self {
            recipes,
            output: output.unwrap_or_else(|| root.clone()),
            root,
        })
    }

    /// Like [`Places::find`] for the recipe `asked`: where you stand in no repository, a path names
    /// the repository that the recipe lies in, or else the recipe's folder and its neighbours.
    pub fn find_for(
        asked: &str,
        environment: &Environment,
        recipes: Option<&Path>,
        output: Option<&Path>,
    ) -> Result<Self, PlaceError> {
        let found = Self::find(environment, recipes, output);
        let Err(PlaceError::NoRepository) = found else {
            return found;
        };
        let path = environment.absolute(asked);
        let path = fs_err::canonicalize(&path).unwrap_or(path);
        let folder = match path.file_name() {
            Some(name) if name == "build.yaml" => path.parent(),
            _ => Some(path.as_path()),
        };
        let Some(folder) = folder.filter(|folder| folder.join("build.yaml").is_file()) else {
            return found;
        };
        let above = folder.parent().unwrap_or(folder);
        let (root, recipes) = match above.ancestors().find(|folder| is_repository(folder)) {
            Some(root) => (root, root.join("recipes")),
            None => (above, above.to_path_buf()),
        };
        Ok(Self {
            recipes,
            output: output.map_or_else(|| root.to_path_buf(), |path| environment.absolute(path)),
            root: root.to_path_buf(),
        })
    }

    /// The recipe that `asked` names: a path, `NAME`, or `NAME/VERSION`.
    pub fn recipe(
        &self,
        asked: &str,
        environment: &Environment,
    ) -> Result<RecipeFolder, PlaceError> {
        let has_recipe = |path: &Path| path.join("build.yaml").is_file();
        let by_name = |name: &str| {
            let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
            Some(self.recipes.join(name)).filter(|path| plain && has_recipe(path))
        };
        let mut version = None;
        let mut found = by_name(asked);
        if found.is_none() {
            let path = environment.absolute(asked.trim_end_matches('/'));
            let path = match path.file_name() {
                Some(name) if name == "build.yaml" => path.parent().map(Path::to_path_buf),
                _ => Some(path),
            };
            let is_path = asked.contains('/') || asked == "." || asked == "build.yaml";
            found = path.filter(|path| is_path && has_recipe(path));
        }
        if found.is_none()
            && let Some((name, wanted)) = asked.split_once('/')
        {
            found = by_name(name);
            version = Some(wanted.to_owned());
        }
        let path = found.ok_or_else(|| match asked {
            "." => PlaceError::NotHere,
            _ => PlaceError::NotFound {
                asked: asked.into(),
                similar: self.similar(asked),
            },
        })?;
        let path = fs_err::canonicalize(&path).unwrap_or(path);
        let root = fs_err::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone());
        let shown = match path.strip_prefix(&root) {
            Ok(below) => below.display().to_string(),
            // Where it lies on this machine is nobody's business.
            Err(_) => path
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        };
        Ok(RecipeFolder {
            path,
            shown,
            version,
        })
    }

    /// Names of all recipes, sorted.
    pub fn names(&self) -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs_err::read_dir(&self.recipes)? {
            let entry = entry?;
            if entry.path().join("build.yaml").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn similar(&self, asked: &str) -> Vec<String> {
        let wanted = asked.split('/').next().unwrap_or_default();
        let start = wanted.get(..3).unwrap_or(wanted).to_lowercase();
        let names = self.names().unwrap_or_default();
        names
            .into_iter()
            .filter(|name| !start.is_empty() && name.contains(&start))
            .take(5)
            .collect()
    }
}

impl PlaceError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoRepository => Some("name the folder with `--recipes DIR`".into()),
            Self::NotHere => Some("name a recipe, or go to its folder".into()),
            Self::NotFound { similar, .. } if !similar.is_empty() => {
                Some(format!("similar names: {}", similar.join(", ")))
            }
            Self::NotFound { .. } => Some("`neurocontainers list` names all recipes".into()),
        }
    }
}

/// The root and the recipes of a folder: a checkout, or any folder that holds `recipes`, is as good as
/// that folder.
fn at(folder: &Path) -> (PathBuf, PathBuf) {
    let inner = folder.join("recipes");
    if inner.is_dir() && !inner.join("build.yaml").is_file() {
        (folder.to_path_buf(), inner)
    } else {
        let above = folder.parent().unwrap_or(folder);
        (above.to_path_buf(), folder.to_path_buf())
    }
}

/// Whether a folder has a recipe in one of its folders.
fn holds_recipes(folder: &Path) -> bool {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path().join("build.yaml"))
        .any(|recipe| recipe.is_file())
}

fn is_repository(folder: &Path) -> bool {
    folder.join("recipes").is_dir() && MARKS.iter().any(|mark| folder.join(mark).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_found_by_name_version_and_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(folder.path()).unwrap();
        for dir in [
            "recipes/demo",
            "recipes/demolition",
            "releases",
            "elsewhere/x",
        ] {
            fs_err::create_dir_all(root.join(dir)).unwrap();
        }
        for recipe in ["recipes/demo", "recipes/demolition", "elsewhere/x"] {
            fs_err::write(root.join(recipe).join("build.yaml"), "").unwrap();
        }
        let environment = Environment::new([("A", "b")], root.join("elsewhere"));
        let places = Places::find(&environment, None, None).unwrap();
        assert_eq!(places.output, root);
        let shown = |asked: &str| {
            let found = places.recipe(asked, &environment).unwrap();
            (found.shown, found.version)
        };
        assert_eq!(shown("demo"), ("recipes/demo".into(), None));
        assert_eq!(
            shown("demo/1.0"),
            ("recipes/demo".into(), Some("1.0".into()))
        );
        assert_eq!(shown("./x"), ("elsewhere/x".into(), None));
        assert_eq!(shown("x/build.yaml"), ("elsewhere/x".into(), None));
        for given in ["../recipes", ".."] {
            let places = Places::find(&environment, Some(Path::new(given)), None).unwrap();
            assert_eq!(places.names().unwrap(), ["demo", "demolition"], "{given}");
        }
        let error = places.recipe("demos", &environment).unwrap_err();
        assert_eq!(
            error.hint().as_deref(),
            Some("similar names: demo, demolition")
        );
        assert!(places.recipe("..", &environment).is_err());
        assert_eq!(places.names().unwrap(), ["demo", "demolition"]);
    }

    #[test]
    fn a_path_names_its_repository_from_outside() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(folder.path()).unwrap();
        for recipe in ["tree/recipes/demo", "alone/x"] {
            fs_err::create_dir_all(root.join(recipe)).unwrap();
            fs_err::write(root.join(recipe).join("build.yaml"), "").unwrap();
        }
        fs_err::create_dir_all(root.join("tree/releases")).unwrap();
        let environment = Environment::new([("A", "b")], root.clone());
        let find = |asked: &str| Places::find_for(asked, &environment, None, None);
        for asked in ["tree/recipes/demo", "tree/recipes/demo/build.yaml"] {
            let places = find(asked).unwrap();
            assert_eq!(places.output, root.join("tree"));
            let found = places.recipe(asked, &environment).unwrap();
            assert_eq!(found.shown, "recipes/demo");
        }
        let places = find("./alone/x").unwrap();
        assert_eq!(places.root, root.join("alone"));
        assert!(matches!(find("demo"), Err(PlaceError::NoRepository)));
        assert!(matches!(find("."), Err(PlaceError::NoRepository)));
    }

    #[test]
    fn copied_recipes_are_found_without_their_repository() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(folder.path()).unwrap();
        fs_err::create_dir_all(root.join("recipes/demo")).unwrap();
        fs_err::write(root.join("recipes/demo/build.yaml"), "").unwrap();
        for here in [root.clone(), root.join("recipes")] {
            let environment = Environment::new([("A", "b")], here);
            let places = Places::find(&environment, None, None).unwrap();
            assert_eq!(places.root, root);
            assert_eq!(places.names().unwrap(), ["demo"]);
        }
    }
}
