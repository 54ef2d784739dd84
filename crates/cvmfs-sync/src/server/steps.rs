//! The steps of each role, in their order.

mod list;
mod stratum0;
mod stratum1;

use super::{
    credentials::Credentials,
    description::{Description, ProxySection},
    files::{ConfigFile, NoSection, Role, files},
    step::{Action, Step, Test, command},
};

/// The steps that make a machine what the description says. Without `credentials` nothing is done about
/// the file that holds them.
pub fn steps(
    description: &Description,
    role: Role,
    credentials: Option<&Credentials>,
) -> Result<Vec<Step>, NoSection> {
    let mut list = List {
        description,
        files: files(description, role, credentials)?,
        steps: Vec::new(),
    };
    let none = || NoSection(role);
    match role {
        Role::Stratum0 => list.stratum0(description.stratum0.as_ref().ok_or_else(none)?),
        Role::Stratum1 => list.stratum1(description.stratum1.as_ref().ok_or_else(none)?),
        Role::Proxy => list.proxy(description.proxy.as_ref().ok_or_else(none)?),
        Role::Client => list.client(),
    }
    Ok(list.steps)
}

/// The steps so far, and the files that have none yet.
struct List<'a> {
    description: &'a Description,
    files: Vec<ConfigFile>,
    steps: Vec<Step>,
}

impl List<'_> {
    fn proxy(&mut self, section: &ProxySection) {
        self.packages(&["squid"]);
        self.squid("the proxy's configuration");
        self.firewall(&[section.port]);
    }

    fn client(&mut self) {
        let name = self.description.repository.name.as_str();
        self.release();
        self.packages(&["cvmfs"]);
        for file in std::mem::take(&mut self.files) {
            let id = file.path.rsplit('/').next().unwrap_or(&file.path);
            let (id, title) = (id.to_owned(), format!("`{}`", file.path));
            self.steps.push(Step::new(id, title, Action::File(file)));
        }
        self.program(
            "setup",
            "CVMFS says that it is set up",
            Test::Succeed(vec![command(["cvmfs_config", "chksetup"])]),
            vec![command(["cvmfs_config", "setup"])],
        );
        self.program(
            "mounted",
            "the repository can be listed",
            Test::Listed(format!("/cvmfs/{name}")),
            vec![command(["cvmfs_config", "stat", "-v", name])],
        );
    }
}

/// What files of keys end in.
pub(super) const KEYS: [&str; 4] = ["crt", "key", "masterkey", "pub"];
