//! What loading a container's module does.

use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use nd_names::ImageName;

use crate::{
    lua::{self, EXTENSIONS_MARK},
    tcl,
};

/// Why something cannot be said in a module file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// The folder of a container is not absolute, or not clean.
    #[error("folder `{folder}` must be absolute and without `.`, `..` and empty parts")]
    Folder {
        /// What was given.
        folder: String,
    },
    /// A character that `PATH` or a module file cannot hold.
    #[error("folder `{folder}` must not contain {found:?}, which `PATH` cannot hold")]
    FolderCharacter {
        /// What was given.
        folder: String,
        /// The character.
        found: char,
    },
    /// Not the name of a variable.
    #[error("`{name}` is not the name of an environment variable")]
    VariableName {
        /// What was given.
        name: String,
    },
    /// A variable that would change what other programs of the user do.
    #[error("a module must not set `{name}`, which changes what every program does")]
    ReservedVariable {
        /// What was given.
        name: String,
    },
    /// A value with line breaks or other control characters.
    #[error("the value of `{name}` must not contain {found:?}")]
    VariableValue {
        /// The variable.
        name: String,
        /// The character.
        found: char,
    },
}

/// The two languages of module files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// `VERSION.lua`, read by Lmod, which prefers it.
    Lua,
    /// `VERSION`, read by Environment Modules and by Lmod.
    Tcl,
}

impl Dialect {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Lua, Self::Tcl];

    /// The file name of `version`'s module.
    pub fn file_name(self, version: &str) -> String {
        match self {
            Self::Lua => format!("{version}.lua"),
            Self::Tcl => version.to_owned(),
        }
    }

    /// What a module file is written in, by its name.
    pub fn of_file(name: &str) -> Self {
        if name.strip_suffix(".lua").is_some() {
            Self::Lua
        } else {
            Self::Tcl
        }
    }
}

/// The absolute folder with a container's wrappers, as `PATH` can hold it: no `:`, no control
/// characters, no `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Folder(Utf8PathBuf);

impl Folder {
    /// The path.
    pub fn as_path(&self) -> &Utf8Path {
        &self.0
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Folder {
    type Err = ModuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim_end_matches('/');
        let clean = trimmed
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
        if !clean {
            return Err(ModuleError::Folder {
                folder: text.to_owned(),
            });
        }
        match trimmed.chars().find(|c| *c == ':' || c.is_control()) {
            Some(found) => Err(ModuleError::FolderCharacter {
                folder: text.to_owned(),
                found,
            }),
            None => Ok(Self(trimmed.into())),
        }
    }
}

/// A variable that loading sets, from a `DEPLOY_ENV_*` of the image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Variable {
    name: String,
    value: String,
}

/// What stands for the image's path in values.
const BASE: &str = "BASEPATH";
const DEPLOY: &str = "DEPLOY_ENV_";

impl Variable {
    /// A variable `name` (with or without `DEPLOY_ENV_` before it) of `value`, in which the word
    /// `BASEPATH` stands for the image.
    ///
    /// Refused are names no shell accepts, control characters in values, and the variables that
    /// decide what other programs run or load (`PATH`, `LD_*`, `BASH_ENV` and the like): images are
    /// not trusted with those.
    pub fn new(name: &str, value: &str) -> Result<Self, ModuleError> {
        let name = name.strip_prefix(DEPLOY).unwrap_or(name);
        let mut characters = name.bytes();
        let first = characters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == b'_');
        if !first || !characters.all(|c| c.is_ascii_alphanumeric() || c == b'_') {
            return Err(ModuleError::VariableName { name: name.into() });
        }
        if reserved(name) {
            return Err(ModuleError::ReservedVariable { name: name.into() });
        }
        if let Some(found) = value.chars().find(|c| c.is_control() && *c != '\t') {
            return Err(ModuleError::VariableValue {
                name: name.into(),
                found,
            });
        }
        Ok(Self {
            name: name.into(),
            value: value.into(),
        })
    }

    /// A line `DEPLOY_ENV_NAME=VALUE`, divided at its first `=`.
    pub fn from_line(line: &str) -> Result<Self, ModuleError> {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        if !line.contains('=') {
            return Err(ModuleError::VariableName { name: line.into() });
        }
        Self::new(name, value)
    }

    /// The name that is set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value as the image has it.
    pub fn template(&self) -> &str {
        &self.value
    }

    /// Whether the value points into the image, which on the host works only where the image is a
    /// folder.
    pub fn points_into_image(&self) -> bool {
        self.value_for("\0") != self.value
    }

    /// The value with `image` for every whole word `BASEPATH`.
    pub fn value_for(&self, image: &str) -> String {
        let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        let bytes = self.value.as_bytes();
        let mut out = String::with_capacity(self.value.len());
        let mut end = 0;
        for (at, _) in self.value.match_indices(BASE) {
            let next = at + BASE.len();
            let before = at.checked_sub(1).is_some_and(|at| word(bytes[at]));
            let after = bytes.get(next).is_some_and(|&c| word(c));
            if !before && !after {
                out.push_str(&self.value[end..at]);
                out.push_str(image);
                end = next;
            }
        }
        out.push_str(&self.value[end..]);
        out
    }
}

/// Whether a variable decides what other programs run, load or search.
fn reserved(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "BASH_ENV",
        "BASHOPTS",
        "CDPATH",
        "EDITOR",
        "ENV",
        "FPATH",
        "GCONV_PATH",
        "HOME",
        "IFS",
        "MANPATH",
        "MODULEPATH",
        "MODULESHOME",
        "PAGER",
        "PATH",
        "PERL5LIB",
        "PERL5OPT",
        "PROMPT_COMMAND",
        "PS1",
        "PS4",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "SHELL",
        "SHELLOPTS",
        "USER",
        "VISUAL",
        "ZDOTDIR",
    ];
    const PREFIXES: &[&str] = &[
        "LD_",
        "LMOD_",
        "DYLD_",
        "BASH_FUNC_",
        "APPTAINER",
        "SINGULARITY",
        "__",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// What `module whatis` and `module spider` tell besides the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// A sentence on what the program is for.
    pub description: Option<String>,
    /// Its home page.
    pub url: Option<String>,
    /// The categories of the catalogue.
    pub categories: Vec<String>,
}

/// What a site adds to a tool's modules, as it is; the word `toolVersion` stands for the version.
/// This is the site's own code, trusted as its configuration is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Additions {
    /// At the end of the Lua file.
    pub lua: Option<String>,
    /// At the end of the Tcl file.
    pub tcl: Option<String>,
}

/// What loading one container does: the model behind both languages.
///
/// ```
/// use nd_modulefile::{Module, Variable};
///
/// let image = "itksnap_3.6.0_20210322".parse().unwrap();
/// let folder = "/sw/itksnap_3.6.0_20210322".parse().unwrap();
/// let mut module = Module::new(image, folder);
/// module.help = "A tool to look at brains.".into();
/// module.commands = vec!["itksnap".into()];
/// module.variables = vec![Variable::from_line("DEPLOY_ENV_SNAP=BASEPATH/opt").unwrap()];
/// assert!(module.to_lua().contains(r#"setenv("SNAP", "/sw/itksnap_3.6.0_20210322/itksnap_3.6.0_20210322.simg/opt")"#));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The image.
    pub image: ImageName,
    /// Where its wrappers are; the image is `STEM.simg` in it.
    pub folder: Folder,
    /// Help, any text: rendering makes it safe and cuts it at [`crate::HELP_LIMIT`].
    pub help: String,
    /// What else the module tells.
    pub about: About,
    /// Commands, for `module spider COMMAND`; those that cannot be said are left out, see
    /// [`Module::extensions`].
    pub commands: Vec<String>,
    /// Variables that loading sets.
    pub variables: Vec<Variable>,
    /// Other modules that must not be loaded at the same time: names of letters, digits, `.`, `_`, `+`,
    /// `-` and `/`; any other is left out. Two versions of one tool never are loaded.
    pub conflicts: Vec<String>,
    /// The site's own lines.
    pub additions: Additions,
}

impl Module {
    /// A module that adds `folder` to `PATH` and no more.
    pub fn new(image: ImageName, folder: Folder) -> Self {
        Self {
            image,
            folder,
            help: String::new(),
            about: About::default(),
            commands: Vec::new(),
            variables: Vec::new(),
            conflicts: Vec::new(),
            additions: Additions::default(),
        }
    }

    /// `TOOL/VERSION`, the name that users load.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.image.app, self.image.version)
    }

    /// The file below the folder of modules: `TOOL/VERSION.lua` or `TOOL/VERSION`.
    pub fn file(&self, dialect: Dialect) -> Utf8PathBuf {
        Utf8Path::new(self.image.app.as_str()).join(dialect.file_name(self.image.version.as_str()))
    }

    /// `FOLDER/STEM.simg`.
    pub fn image_path(&self) -> String {
        format!("{}/{}.simg", self.folder.as_str(), self.image.stem())
    }

    /// `COMMAND/VERSION` of every command, sorted and unique; and the commands left out because
    /// they contain `,`, `/`, white space or control characters. The Tcl file also leaves out those
    /// with characters that mean something in Tcl.
    pub fn extensions(&self) -> (Vec<String>, Vec<&str>) {
        let mut commands: Vec<&str> = self.commands.iter().map(String::as_str).collect();
        commands.retain(|name| !name.is_empty());
        commands.sort_unstable();
        commands.dedup();
        let (good, bad): (Vec<&str>, Vec<&str>) = commands.into_iter().partition(|name| {
            !name.contains(|c: char| matches!(c, ',' | '/') || c.is_whitespace() || c.is_control())
        });
        let version = &self.image.version;
        let good = good
            .into_iter()
            .map(|name| format!("{name}/{version}"))
            .collect();
        (good, bad)
    }

    /// The lines of a module file that let `module spider COMMAND` find it: a marker, and a call of
    /// `extensions` where the reader of the file knows that. Empty without commands.
    pub fn extensions_block(&self, dialect: Dialect) -> String {
        let (mut extensions, _) = self.extensions();
        if dialect == Dialect::Tcl {
            // Lmod's `extensions` for Tcl evaluates its arguments once more than it should.
            extensions.retain(|word| word.chars().all(tcl::plain));
        }
        if extensions.is_empty() {
            return String::new();
        }
        match dialect {
            // Old Lmod has no such function.
            Dialect::Lua => format!(
                "-- {EXTENSIONS_MARK}\nif type(extensions) == \"function\" then\n    extensions({})\nend\n",
                lua::quote(&extensions.join(", "))
            ),
            // Lmod has this command, Environment Modules has not.
            Dialect::Tcl => {
                let words: Vec<String> = extensions.iter().map(|word| tcl::quote(word)).collect();
                format!(
                    "# {EXTENSIONS_MARK}\nif {{[llength [info commands extensions]] > 0}} {{\n    extensions {}\n}}\n",
                    words.join(" ")
                )
            }
        }
    }

    /// The module in `dialect`.
    pub fn render(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Lua => self.to_lua(),
            Dialect::Tcl => self.to_tcl(),
        }
    }

    /// Lines of `whatis`, clean: the image first, as upstream's readers expect it.
    pub(crate) fn whatis(&self) -> Vec<String> {
        let mut lines = vec![
            format!("{}.simg", self.image.stem()),
            format!("Name: {}", self.image.app),
            format!("Version: {}", self.image.version),
        ];
        let mut add = |key: &str, value: &str| {
            let value = crate::text::clean_line(value);
            if !value.is_empty() {
                lines.push(format!("{key}: {value}"));
            }
        };
        if !self.about.categories.is_empty() {
            add("Category", &self.about.categories.join(", "));
        }
        if let Some(url) = &self.about.url {
            add("URL", url);
        }
        if let Some(description) = &self.about.description {
            add("Description", description);
        }
        lines
    }

    /// Names of `conflict`, the tool itself first.
    pub(crate) fn conflict_names(&self) -> Vec<String> {
        let mut names = vec![self.image.app.to_string()];
        for name in &self.conflicts {
            let fits = |c: char| c.is_ascii_alphanumeric() || "._+/-".contains(c);
            let fits = name.chars().all(fits) && name.starts_with(|c| fits(c) && c != '-');
            if fits && !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    //! Folders, variables and commands.

    use super::*;

    #[test]
    fn folders_are_absolute_and_fit_into_path() {
        for good in ["/a", "/a b/c", "/a/b/", "/ä/[x]"] {
            assert!(good.parse::<Folder>().is_ok(), "{good}");
        }
        for bad in ["", "/", "a", "/a/../b", "/a//b", "/a:b", "/a\nb", "./a"] {
            assert!(bad.parse::<Folder>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_is_divided_at_its_first_equals_sign() {
        let variable = Variable::from_line("DEPLOY_ENV_OPTS=-a=1 \\n \"q\"").unwrap();
        assert_eq!(variable.name(), "OPTS");
        assert_eq!(variable.value_for("/i"), "-a=1 \\n \"q\"");
    }

    #[test]
    fn only_whole_words_stand_for_the_image() {
        let variable = Variable::new(
            "X",
            "BASEPATH/a:BASEPATHS BASEPATH MYBASEPATH BASEPATHBASEPATH",
        )
        .unwrap();
        assert!(variable.points_into_image());
        assert_eq!(
            variable.value_for("/i"),
            "/i/a:BASEPATHS /i MYBASEPATH BASEPATHBASEPATH"
        );
    }

    #[test]
    fn refuses_variables_that_are_none_or_decide_for_other_programs() {
        for bad in [
            "DEPLOY_ENV_=1",
            "DEPLOY_ENV_1A=1",
            "DEPLOY_ENV_A B=1",
            "DEPLOY_ENV_A",
            "DEPLOY_ENV_LD_PRELOAD=/x.so",
            "DEPLOY_ENV_PATH=/x",
            "DEPLOY_ENV_BASH_ENV=/x",
            "DEPLOY_ENV_A=1\nB=2",
        ] {
            assert!(Variable::from_line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_commands_once_and_leaves_out_what_cannot_be_said() {
        let mut module = Module::new(
            "fsl_6.0.7.18_20250928".parse().unwrap(),
            "/sw/fsl".parse().unwrap(),
        );
        module.commands = [
            "flirt",
            "bet",
            "bet",
            "bad/name",
            "bad,command",
            "bad command",
            "quoted\"cmd",
            "",
        ]
        .map(str::to_owned)
        .to_vec();
        let (good, bad) = module.extensions();
        assert_eq!(
            good,
            ["bet/6.0.7.18", "flirt/6.0.7.18", "quoted\"cmd/6.0.7.18"]
        );
        assert_eq!(bad, ["bad command", "bad,command", "bad/name"]);
    }
}
