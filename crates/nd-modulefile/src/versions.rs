//! Which version of a tool is the default, and which are hidden.

use std::{collections::BTreeSet, fmt::Write as _};

use nd_names::{AppName, AppVersion};

use crate::{lua, tcl};

/// The versions of a tool that differ from the others.
///
/// Lmod reads `.modulerc.lua`, Environment Modules `.modulerc`; `.version` is what old readers
/// know, and holds the default alone. All lie in the tool's folder beside its modules.
///
/// ```
/// use nd_modulefile::Versions;
///
/// let mut versions = Versions::new("itksnap".parse().unwrap());
/// versions.default = Some("3.6.0".parse().unwrap());
/// assert!(versions.to_modulerc_lua().contains(r#"module_version("itksnap/3.6.0", "default")"#));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The tool.
    pub app: AppName,
    /// What loading the tool without a version takes; the newest when there is none.
    pub default: Option<AppVersion>,
    /// What `module avail` does not show, and loading by full name still finds.
    pub hidden: BTreeSet<AppVersion>,
}

/// The names of the files of [`Versions`].
impl Versions {
    /// For Lmod.
    pub const MODULERC_LUA: &str = ".modulerc.lua";
    /// For Environment Modules.
    pub const MODULERC: &str = ".modulerc";
    /// For old readers.
    pub const VERSION: &str = ".version";

    /// A tool without default and hidden versions.
    pub fn new(app: AppName) -> Self {
        Self {
            app,
            default: None,
            hidden: BTreeSet::new(),
        }
    }

    /// Whether there is nothing to say, so that the files should not exist.
    pub fn is_empty(&self) -> bool {
        self.default.is_none() && self.hidden.is_empty()
    }

    /// The file [`Versions::MODULERC_LUA`].
    pub fn to_modulerc_lua(&self) -> String {
        let mut out = String::from("-- -*- lua -*-\n");
        if let Some(default) = &self.default {
            let full = lua::quote(&format!("{}/{default}", self.app));
            let _ = writeln!(out, "module_version({full}, \"default\")");
        }
        for version in &self.hidden {
            let full = lua::quote(&format!("{}/{version}", self.app));
            let _ = writeln!(out, "hide_version({full})");
        }
        out
    }

    /// The file [`Versions::MODULERC`].
    pub fn to_modulerc(&self) -> String {
        let mut out = String::from("#%Module1.0\n");
        if let Some(default) = &self.default {
            let full = tcl::quote(&format!("{}/{default}", self.app));
            let _ = writeln!(out, "module-version {full} default");
        }
        for version in &self.hidden {
            // The two readers have different names for it.
            let full = tcl::quote(&format!("{}/{version}", self.app));
            let _ = writeln!(
                out,
                "if {{[llength [info commands module-hide]] > 0}} {{\n    module-hide {full}\n}} elseif {{[llength [info commands hide-version]] > 0}} {{\n    hide-version {full}\n}}"
            );
        }
        out
    }

    /// The file [`Versions::VERSION`], when there is a default.
    pub fn to_version(&self) -> Option<String> {
        let default = self.default.as_ref()?;
        Some(format!(
            "#%Module1.0\nset ModulesVersion {}\n",
            tcl::quote(default.as_str())
        ))
    }
}
