//! The configuration files at work: the real Apache serves a storage, the real Squid stands before it
//! as the cache of a replica and as the proxy of a site. Ports and folders alone differ from what is
//! rendered.

use std::{
    fmt::Write as _,
    io::Read as _,
    net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use cvmfs_sync::server::{Action, Machine, Role, State, Step, files};
use nd_fetch::FetchOptions;
use nd_host::{Environment, SystemPrograms};
use nd_report::Cancel;
use nd_testkit::peer;

use crate::{
    life::{Life, NAME, put},
    servers::{described, on_debian, with_key},
};

/// A program that serves until dropped.
struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    fn start(program: &Path, arguments: &[&str], folder: &Path, port: u16) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the test ends a program that it started"
        )]
        let mut command = std::process::Command::new(program);
        let said = fs_err::File::create(folder.join("said")).unwrap();
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::from(said))
            .spawn()
            .unwrap();
        let mut daemon = Self { child, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = daemon.child.try_wait().unwrap();
            let said = || fs_err::read_to_string(folder.join("said")).unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", said());
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn folder(life: &Life, name: &str) -> PathBuf {
    let folder = life.env.work().join(name);
    fs_err::create_dir(&folder).unwrap();
    // The servers give up their rights and are others then.
    fs_err::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// The text of a role's file whose path ends so.
fn text(description: &str, role: Role, end: &str) -> String {
    let files = files(&described(description), role, None).unwrap();
    let file = files.iter().find(|file| file.path.ends_with(end)).unwrap();
    file.content.over(None)
}

fn apache(life: &Life, program: &Path) -> Daemon {
    let (folder, port) = (folder(life, "apache"), free_port());
    let description = on_debian().replace("software.example.org", NAME);
    let storage = life.storage().display().to_string();
    let site = text(&description, Role::Stratum0, ".conf")
        .replace(&format!("/srv/cvmfs/{NAME}"), &storage);
    let listen =
        text(&description, Role::Stratum1, "ports.conf").replace("8080", &port.to_string());
    let here = folder.display();
    let mut main = format!(
        "ServerRoot /usr/lib/apache2\nServerName localhost\nUser www-data\nGroup www-data\nDefaultRuntimeDir {here}\n\
         PidFile {here}/pid\nErrorLog {here}/log\n"
    );
    for module in [
        "mpm_event",
        "authz_core",
        "alias",
        "mime",
        "headers",
        "expires",
    ] {
        writeln!(main, "LoadModule {module}_module modules/mod_{module}.so").unwrap();
    }
    let path = folder.join("apache.conf");
    put(
        &path,
        format!("{main}TypesConfig /dev/null\n{listen}{site}").as_bytes(),
    );
    Daemon::start(
        program,
        &["-X", "-f", path.to_str().unwrap()],
        &folder,
        port,
    )
}

/// Squid with a rendered configuration, and with what makes it quiet and small.
fn squid(life: &Life, program: &Path, name: &str, text: &str, port: u16) -> Daemon {
    let folder = folder(life, name);
    let here = folder.display();
    let text = format!(
        "{text}pid_filename {here}/pid\ncache_log {here}/log\naccess_log none\ncache_store_log none\ncoredump_dir \
         {here}\npinger_enable off\nvisible_hostname {name}.localhost\nshutdown_lifetime 0 seconds\n"
    );
    let text = text.replace("/var/spool/squid", &format!("{here}/cache"));
    let path = folder.join("squid.conf");
    put(&path, text.as_bytes());
    let path = path.to_str().unwrap();
    if text.contains("cache_dir") {
        let made = life
            .env
            .command(program)
            .args(["-N", "-z", "-f", path])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    }
    Daemon::start(program, &["-N", "-f", path], &folder, port)
}

/// The answer to one request, from a chosen address of the loopback.
fn get(from: [u8; 4], port: u16, target: &str, host: &str) -> String {
    use std::io::Write as _;

    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let address = |ip: [u8; 4], port| SocketAddr::V4(SocketAddrV4::new(ip.into(), port));
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&fd, &address(from, 0)).unwrap();
    connect(&fd, &address([127, 0, 0, 1], port)).unwrap();
    let mut stream = TcpStream::from(fd);
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const LOCAL: [u8; 4] = [127, 0, 0, 1];

fn head(answer: &str) -> String {
    answer
        .split("\r\n\r\n")
        .next()
        .unwrap()
        .to_ascii_lowercase()
}

#[test]
fn apache_and_squid_serve_a_repository_as_it_should_be() {
    let (Some(httpd), Some(cache)) = (peer("apache2"), peer("squid")) else {
        return;
    };
    let life = Life::new();
    life.put("tree/file", "content");
    life.write(&["publish", "tree", "--at", "tree"]);
    for path in [life.env.root().to_owned(), life.env.work()] {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    let web = apache(&life, &httpd);
    let storage = format!("{}/cvmfs/{NAME}", web.url());
    assert_eq!(life.run(&["verify", "--full", &storage])["good"], true);
    let manifest = get(
        LOCAL,
        web.port,
        &format!("/cvmfs/{NAME}/.cvmfspublished"),
        "any",
    );
    let (_, body) = manifest.split_once("\r\n\r\n").unwrap();
    let catalog = body.lines().next().unwrap().strip_prefix('C').unwrap();
    let (folder, rest) = catalog.split_at(2);
    let object = get(
        LOCAL,
        web.port,
        &format!("/cvmfs/{NAME}/data/{folder}/{rest}C"),
        "any",
    );
    for (answer, age, kind) in [
        (&manifest, "max-age=61", "application/x-cvmfs"),
        (&object, "max-age=259200", "application/octet-stream"),
    ] {
        let head = head(answer);
        assert!(
            head.starts_with("http/1.1 200") && head.contains(age) && head.contains(kind),
            "{head}"
        );
        assert!(
            !head.contains("etag") && !head.contains("last-modified"),
            "{head}"
        );
    }

    // The last step of a set-up.
    let cancel = Cancel::default();
    let programs = SystemPrograms::new(&Environment::of_process().unwrap());
    let (now, fetch) = (jiff::Timestamp::now(), FetchOptions::default());
    let machine = Machine::open(life.env.work(), Some(&programs), &cancel, now, fetch).unwrap();
    let state = |address: String| {
        let step = Step {
            id: "test".to_owned(),
            title: String::new(),
            action: Action::Answers { address },
        };
        machine.state(&step).unwrap()
    };
    assert_eq!(state(storage), State::Done);
    let other = format!("{}/cvmfs/other.example.org", web.url());
    assert!(matches!(state(other), State::Pending(why) if why.contains("no repository")));
    let nobody = format!("http://127.0.0.1:{}/cvmfs/{NAME}", free_port());
    assert!(matches!(state(nobody), State::Pending(why) if why.contains("no answer")));

    // In front of a replica: everything comes from the web server behind, whoever is asked for.
    let port = free_port();
    let front = text(&on_debian(), Role::Stratum1, "squid.conf")
        .replace("http_port 80 ", &format!("http_port {port} "))
        .replace("http_port 8000 accel\n", "")
        .replace("8080", &web.port.to_string());
    let front = squid(&life, &cache, "front", &front, port);
    let served = format!("{}/cvmfs/{NAME}", front.url());
    assert_eq!(life.run(&["verify", "--full", &served])["good"], true);
    let elsewhere = format!("127.0.0.1:{}", free_port());
    let answer = get(
        LOCAL,
        front.port,
        &format!("/cvmfs/{NAME}/.cvmfspublished"),
        &elsewhere,
    );
    assert!(head(&answer).starts_with("http/1.1 200"), "{answer}");

    // A site's proxy: its clients reach servers and nothing else, others reach nothing.
    let port = free_port();
    let description = on_debian()
        .replace("\"10.1.0.0/16\", \"2001:db8::/32\"", "\"127.0.0.3\"")
        .replace("stratum.example.net", "127.0.0.1")
        .replace("[proxy]", &format!("[proxy]\nport = {port}"));
    let site = text(&description, Role::Proxy, "squid.conf");
    let site = squid(&life, &cache, "site", &site, port);
    let target = format!("{served}/.cvmfspublished");
    let status = |from, target: &str| {
        let answer = get(from, site.port, target, "any");
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status([127, 0, 0, 3], &target), "200");
    assert_eq!(status(LOCAL, &target), "200");
    assert_eq!(status([127, 0, 0, 2], &target), "403");
    assert_eq!(
        status(LOCAL, &target.replace("127.0.0.1", "127.0.0.9")),
        "403"
    );

    // Probing goes through it as clients do.
    let keys = life
        .env
        .root()
        .join("home/.local/share/cvmfs-sync/keys")
        .join(NAME);
    let described = description.replace("software.example.org", NAME);
    let described = with_key(&described, &keys.join(format!("{NAME}.pub")));
    put(&life.env.work().join("servers.toml"), described.as_bytes());
    let probe = [
        "probe",
        "--description",
        "servers.toml",
        "--server",
        &front.url(),
        "--proxy",
        &site.url(),
    ];
    let answer = life.run(&probe);
    assert_eq!(answer["servers"][0]["state"], "good", "{answer}");
}
