//! The steps of each role, in their order.

mod list;
mod stratum0;
mod stratum1;

use super::{
    credentials::Credentials,
    description::{ClientSection, Description, ProxySection},
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
        Role::Client => list.client(description.client.as_ref().ok_or_else(none)?),
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

    fn client(&mut self, section: &ClientSection) {
        let name = self.description.repository.name.as_str();
        let folder = format!("/cvmfs/{name}");
        self.release();
        self.packages(&["cvmfs"]);
        for file in std::mem::take(&mut self.files) {
            let id = file.path.rsplit('/').next().unwrap_or(&file.path);
            let (id, title) = (id.to_owned(), format!("`{}`", file.path));
            self.steps.push(Step::new(id, title, Action::File(file)));
        }
        let setup = Test::Succeed(vec![command(["cvmfs_config", "chksetup"])]);
        let mounted = Test::Mounted(folder.clone());
        self.program(
            "setup",
            "CVMFS says that it is set up",
            // It looks for autofs, which is off where the repository is mounted for good.
            if section.autofs {
                setup
            } else {
                Test::AnyOf(vec![mounted.clone(), setup])
            },
            vec![command(["cvmfs_config", "setup"])],
        );
        if !section.autofs {
            self.autofs_off(&[command(["cvmfs_config", "umount"])]);
            self.directory("mount-point", &folder);
            let mount = command(["mount", &folder]);
            self.program("mount", "the repository is mounted", mounted, vec![mount]);
        }
        self.program(
            "mounted",
            "the repository can be listed",
            Test::Listed(folder),
            vec![command(["cvmfs_config", "stat", "-v", name])],
        );
    }
}

/// What files of keys end in.
pub(super) const KEYS: [&str; 4] = ["crt", "key", "masterkey", "pub"];
