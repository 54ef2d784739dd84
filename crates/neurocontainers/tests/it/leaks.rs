//! The machine that builds leaves no trace: image, SIF, Dockerfile, record, summary and log are
//! searched for its addresses.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nd_host::Environment;
use nd_names::Sha256;
use nd_oci::{ImageTree, Layout, Limits};
use nd_report::Cancel;
use nd_rootfs::{ContentSink, Contents, Index, Location, Wanted};
use nd_sif::Sif;
use nd_squashfs::{Digests, FileRange, Reader};
use nd_testkit::peer;
use neurocontainers::machine::Machine;

use crate::{
    build::{Fixture, files},
    support::{busybox_layout_with, files_of},
};

/// Addresses of a machine that has none of these: RFC 5737 and RFC 2606 keep them free.
const ADDRESSES: [&str; 5] = [
    "mirror.machine.example",
    "192.0.2.7:3142",
    "pip.machine.example",
    "proxy.machine.example",
    "192.0.2.53",
];

fn machine_root(folder: &Path, mirror: &str) -> PathBuf {
    let root = folder.join("machine");
    for (path, content) in [
        (
            "etc/apt/sources.list.d/own.sources",
            format!(
                "Types: deb\nURIs: {mirror}/debian\nSuites: bookworm\nComponents: main\n\nTypes: deb\nURIs: http://192.0.2.7:3142/debian-security\nSuites: bookworm-security\nComponents: main\n"
            ),
        ),
        (
            "etc/apt/apt.conf.d/90proxy",
            "Acquire::ftp::Proxy \"http://proxy.machine.example:1\";\n".into(),
        ),
        (
            "etc/pip.conf",
            "[global]\nindex-url = http://pip.machine.example/simple\n".into(),
        ),
        ("etc/resolv.conf", "nameserver 192.0.2.53\n".into()),
    ] {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }
    root
}

/// Everything of a tree that somebody could read: names, targets, contents.
fn bytes_of(index: &Index, contents: &mut dyn Contents) -> Vec<u8> {
    struct All(Vec<u8>);
    impl ContentSink for All {
        fn file(
            &mut self,
            _: Location,
            _: u64,
            _: &Sha256,
            bytes: &mut dyn Read,
        ) -> std::io::Result<()> {
            bytes.read_to_end(&mut self.0).map(|_| ())
        }
    }
    let mut all = All(format!("{index:?}").into_bytes());
    contents
        .visit(&Wanted::every_location(index), &mut all)
        .unwrap();
    all.0
}

fn search(what: &str, bytes: &[u8], addresses: &[&str]) {
    for address in addresses {
        let found = bytes
            .windows(address.len())
            .any(|part| part == address.as_bytes());
        assert!(!found, "`{address}` stands in {what}");
    }
}

/// Searches what a build left in `work`, and what it said.
fn search_all(work: &Path, summary: &serde_json::Value, said: &[u8], addresses: &[&str]) {
    search("the log", said, addresses);
    let oci = PathBuf::from(summary["oci"]["path"].as_str().unwrap());
    let layout = Layout::open(&oci).unwrap();
    let image = layout.image(None).unwrap();
    let mut tree = ImageTree::open(&image, Arc::new(layout), None, Limits::default()).unwrap();
    search(
        "the image",
        &bytes_of(&tree.index, &mut tree.contents),
        addresses,
    );
    let sif = PathBuf::from(summary["sif"]["path"].as_str().unwrap());
    let sif = Sif::open(fs_err::File::open(sif).unwrap().into_file()).unwrap();
    let part = sif.primary_partition().unwrap();
    let range = FileRange::new(sif.file().try_clone().unwrap(), part.offset, part.size);
    let reader = Arc::new(Reader::open(range, nd_squashfs::Limits::default()).unwrap());
    let (index, mut contents) = reader
        .tree(Digests::Read { threads: 0 }, &Cancel::default())
        .unwrap();
    search("the SIF", &bytes_of(&index, &mut contents), addresses);
    // Everything that is no packed layer or file system: Dockerfile, record, documents, test reports.
    let mut searched = Vec::new();
    for path in files(work) {
        let bytes = fs_err::read(&path).unwrap();
        search(&path.display().to_string(), &bytes, addresses);
        searched.push(path.display().to_string());
    }
    for name in [
        "Dockerfile",
        "1.0.0.json",
        "summary.json",
        "tests.xml",
        "index.json",
    ] {
        assert!(
            searched.iter().any(|path| path.ends_with(name)),
            "{name} in {searched:?}"
        );
    }
}

/// Builds on the machine of `root`, maybe behind a proxy: the summary, and all that was said.
fn build(
    fixture: &Fixture,
    root: &Path,
    words: &[&str],
    proxy: Option<&str>,
) -> (serde_json::Value, Vec<u8>) {
    let mut command = fixture.command(&["build", "demo", "--json"]);
    command.args(words).env("ND_MACHINE_ROOT", root);
    command.envs(proxy.map(|proxy| ("https_proxy", proxy)));
    let output = command.output().unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{text}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let summary = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    (summary, said)
}

#[test]
fn settings_of_the_machine_reach_steps_and_nothing_else() {
    if peer("mmdebstrap").is_none() {
        return;
    }
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let public = "deb http://deb.debian.org/debian bookworm main\n\
                  deb http://deb.debian.org/debian-security bookworm-security main\n";
    let release = "ID=debian\nVERSION_CODENAME=bookworm\n";
    let base = busybox_layout_with(
        &fixture.env.root().join("debian-like"),
        &[
            ("etc/apt/sources.list", public),
            ("etc/os-release", release),
        ],
    );
    let root = machine_root(fixture.env.root(), "http://mirror.machine.example");
    let looks = "- cat /etc/apt/sources.list $PIP_CONFIG_FILE; ls /etc/apt/apt.conf.d > /opt/seen; grep -c machine /etc/apt/sources.list $PIP_CONFIG_FILE >> /opt/seen; env | grep -c machine >> /opt/seen\n        - mkdir -p /opt/demo";
    fixture.edit("recipes/demo/build.yaml", "- mkdir -p /opt/demo", looks);
    let base = base.unwrap();
    let words = ["--base", base.to_str().unwrap()];
    let proxy = Some("http://proxy.machine.example:1");
    let (summary, said) = build(&fixture, &root, &words, proxy);
    // The step did see all of it.
    let seen = files_of(
        Path::new(summary["oci"]["path"].as_str().unwrap()),
        "opt/seen",
    );
    let seen = String::from_utf8(seen).unwrap();
    assert_eq!(
        seen.lines().collect::<Vec<_>>(),
        [
            "90nd-build",
            "/etc/apt/sources.list:1",
            "/run/nd-build/pip.conf:1",
            "1"
        ]
    );
    search_all(&fixture.env.work(), &summary, &said, &ADDRESSES);
    let list = files_of(
        Path::new(summary["oci"]["path"].as_str().unwrap()),
        "etc/apt/sources.list",
    );
    assert_eq!(String::from_utf8(list).unwrap(), public);
}

/// Sends every request on to `target`; gives its own address and how often it was asked.
fn redirector(target: String) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (target, count) = (target.clone(), count.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                loop {
                    let mut request = String::new();
                    loop {
                        let mut line = String::new();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        if line.trim().is_empty() {
                            break;
                        }
                        if request.is_empty() {
                            request = line;
                        }
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
                    let below = path.strip_prefix("/debian").unwrap_or(&path);
                    let answer = format!(
                        "HTTP/1.1 302 Found\r\nLocation: {target}{below}\r\nContent-Length: 0\r\n\r\n"
                    );
                    if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, asked)
}

/// A real bootstrap and a real package, through a mirror of this machine alone. Takes a minute.
#[test]
fn a_real_bootstrap_through_a_mirror_does_not_name_it() {
    if std::env::var_os("ND_SLOW_TESTS").is_none() || peer("mmdebstrap").is_none() {
        return;
    }
    let own = Machine::read(Path::new("/"), &Environment::of_process().unwrap()).unwrap();
    let Some(archive) = own
        .sources()
        .iter()
        .find(|source| source.archive() == "debian")
    else {
        return;
    };
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let (mirror, asked) = redirector(archive.uri.clone());
    let root = machine_root(fixture.env.root(), &mirror);
    let security = root.join("etc/apt/sources.list.d/own.sources");
    let text = fs_err::read_to_string(&security).unwrap();
    let only_main = text.split("\n\n").next().unwrap().to_owned();
    fs_err::write(&security, only_main).unwrap();
    fs_err::remove_file(root.join("etc/pip.conf")).unwrap();
    fs_err::remove_file(root.join("etc/apt/apt.conf.d/90proxy")).unwrap();
    fixture.install_from_debian("bookworm", "hello");
    let (summary, said) = build(&fixture, &root, &[], None);
    assert!(
        asked.load(Ordering::Relaxed) > 10,
        "the mirror was hardly used"
    );
    let address = mirror.trim_start_matches("http://");
    search_all(&fixture.env.work(), &summary, &said, &[address]);
}
