//! Moving a publisher to another machine: a list of what to do where, in an order in which there are
//! never two publishers.

use serde::Serialize;

use super::{
    description::{Description, Family},
    files::{NoSection, Role},
    step::{CommandLine, command},
    words::HostName,
};

/// The timers of a publisher: the weekly signature and the job that publishes.
const TIMERS: [&str; 2] = ["cvmfs_resign", "sync_containers_to_cvmfs"];
/// Where timers wait that must not run, on both machines. Nobody but root comes here.
const WAITING: &str = "/root/cvmfs-timers";

/// Where something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// On the machine that becomes the publisher.
    New,
    /// On the machine that was it, from the new one.
    Old,
    /// On one replica.
    Replica,
    /// In the name service.
    Names,
}

/// One part of a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Where.
    pub place: Place,
    /// What is so afterwards.
    pub title: String,
    /// What to run.
    pub commands: Vec<CommandLine>,
}

/// What to do to move the publisher from the machine `old` to the machine `new`, in this order.
pub fn plan_move(
    description: &Description,
    old: &HostName,
    new: &HostName,
) -> Result<Vec<Move>, NoSection> {
    let Some(section) = &description.stratum0 else {
        return Err(NoSection(Role::Stratum0));
    };
    let name = &description.repository.name;
    let owner = section.owner.as_str();
    let storage = format!("/srv/cvmfs/{name}");
    let keys = "/etc/cvmfs/keys";
    let (installer, web) = match description.host.packages {
        Family::Dnf => (["dnf", "--assumeyes", "install"], "httpd"),
        Family::Apt => (["apt-get", "--yes", "install"], "apache2"),
    };
    let install = |names: &[&'static str]| command(installer.iter().chain(names).copied());
    let login = format!("root@{old}");
    let there = |words: &[&str]| command(["ssh", &login].iter().chain(words).copied());
    let copy = |options: &str, path: &str| {
        command([
            "rsync",
            options,
            &format!("{login}:{path}/"),
            &format!("{path}/"),
        ])
    };
    let timers = |folder: &str| TIMERS.map(|timer| format!("{folder}/{timer}"));
    let with = |mut words: CommandLine, more: &[String]| {
        words.extend_from_slice(more);
        words
    };
    let key = |ends: [&str; 2]| ends.map(|end| format!("{keys}/{name}.{end}"));
    let mut moves = Vec::new();
    let mut add = |place, title: &str, commands| {
        let title = title.to_owned();
        moves.push(Move {
            place,
            title,
            commands,
        });
    };
    add(
        Place::New,
        "packages and the owner's account",
        vec![
            install(&[
                "vim",
                "htop",
                "gcc",
                "git",
                "screen",
                "rsync",
                "apptainer",
                "podman",
            ]),
            install(&["cvmfs", "cvmfs-server"]),
            command([
                "useradd",
                "--system",
                "--user-group",
                "--home-dir",
                "/var/lib/cvmfs",
                "--shell",
                "/sbin/nologin",
                owner,
            ]),
            command(["install", "--directory", "--mode=700", WAITING]),
        ],
    );
    add(
        Place::Old,
        "the timers are off: from here on nobody publishes",
        vec![
            there(&["install", "--directory", "--mode=700", WAITING]),
            with(
                with(there(&["mv"]), &timers("/etc/cron.d")),
                &[format!("{WAITING}/")],
            ),
        ],
    );
    add(
        Place::New,
        "keys, timers, the owner's files and the storage are copied",
        vec![
            command(["install", "--directory", "--mode=755", keys, &storage]),
            copy("-a", keys),
            copy("-a", WAITING),
            copy("-aH", "/var/lib/cvmfs"),
            copy("-aH", &storage),
        ],
    );
    add(
        Place::New,
        "keys and storage have their modes and owners",
        vec![
            with(command(["chmod", "600"]), &key(["key", "masterkey"])),
            with(command(["chmod", "644"]), &key(["crt", "pub"])),
            command([
                "chown",
                "--recursive",
                &format!("{owner}:{owner}"),
                &storage,
            ]),
        ],
    );
    add(
        Place::New,
        "the web server runs",
        vec![
            install(&[web]),
            command(["systemctl", "enable", "--now", web]),
        ],
    );
    let server = |words: &[&str]| {
        command(
            ["cvmfs_server"]
                .iter()
                .chain(words)
                .copied()
                .chain([name.as_str()]),
        )
    };
    add(
        Place::New,
        "the repository is known here",
        vec![server(&["import", "-o", owner])],
    );
    add(
        Place::New,
        "no object is a hard link",
        vec![server(&["eliminate-hardlinks"])],
    );
    add(
        Place::New,
        "the services and the list of repositories are up to date",
        vec![
            command(["systemctl", "daemon-reload"]),
            command(["cvmfs_server", "update-info"]),
            command(["cvmfs_server", "list"]),
        ],
    );
    add(
        Place::New,
        "a new whitelist is signed",
        vec![server(&["resign", "-f"])],
    );
    add(
        Place::New,
        "publishing works",
        vec![server(&["transaction"]), server(&["publish"])],
    );
    let mut enable: Vec<CommandLine> = timers("/etc/cron.d")
        .iter()
        .map(|timer| there(&["test", "!", "-e", timer]))
        .collect();
    enable.push(with(
        with(
            command(["install", "--owner=root", "--group=root", "--mode=644"]),
            &timers(WAITING),
        ),
        &["/etc/cron.d/".to_owned()],
    ));
    add(
        Place::New,
        "the timers are on, once those of the old machine are seen to be off",
        enable,
    );
    add(
        Place::Replica,
        "one replica copies from the new machine, which its `CVMFS_STRATUM0` names for this test",
        vec![
            command([
                "curl",
                "--fail",
                "--head",
                &format!("http://{new}/cvmfs/{name}/.cvmfspublished"),
            ]),
            server(&["snapshot"]),
        ],
    );
    let host = description.repository.stratum0.host();
    add(
        Place::Names,
        &format!("`{host}` leads to {new}"),
        Vec::new(),
    );
    Ok(moves)
}
