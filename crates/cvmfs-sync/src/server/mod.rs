//! Servers and clients of one repository, set up from one description.
//!
//! A [`Description`] gives the [`files`] of a role and the [`steps`] that make a machine what it says,
//! both as values; a [`Machine`] looks at steps and does them. Nothing here speaks to another machine.

mod content;
mod credentials;
mod description;
mod files;
mod machine;
mod moving;
mod step;
mod steps;
mod syntax;
mod words;

pub use content::{Content, Fit, Setting};
pub use credentials::{Credentials, CredentialsError};
pub use description::{
    ClientSection, Description, Family, Firewall, HostSection, ModeSection, NEURODESK,
    ProxySection, RepositorySection, Stratum0Section, Stratum1Section, Volume,
};
pub use files::{ConfigFile, NoSection, Role, Syntax, client_servers, files};
pub use machine::{Allowed, ApplyError, Machine, Progress, StepError};
pub use moving::{Move, Place, plan_move};
pub use step::{Action, CommandLine, State, Step, Test};
pub use steps::steps;
pub use syntax::{SyntaxError, check_syntax};
pub use words::{
    Domain, FilePath, HostName, Network, ProxyAddress, PublicKey, ReleasePackage, ServerAddress,
    Suffix, TimeSpan, TimeZone, UserName, WordError,
};
