//! What of the host is shown inside.

use crate::support::{Image, JobMount, JobSource, Test, sh};

pub(crate) const TESTS: &[Test] = &[
    (
        "mounts::shown_directories_can_be_read_and_perhaps_written",
        directories,
    ),
    ("mounts::files_in_memory_have_their_modes", files),
    ("mounts::the_network_is_the_hosts_or_none", network),
    ("mounts::names_of_the_machine_are_known", names),
];

fn mount(source: JobSource, target: &str, writable: bool) -> JobMount {
    JobMount {
        source,
        target: target.into(),
        writable,
    }
}

fn directories() {
    let image = Image::new();
    let shown = image.beside("shown");
    fs_err::write(shown.join("file"), "text").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs_err::set_permissions(&shown, mode).unwrap();
    std::os::unix::fs::symlink("/var/lib", image.base().join("link")).unwrap();
    image.give();
    let mut job = sh("cat /link/shown/file; echo; cat /one; echo; \
                      (echo x > /link/shown/new) 2>/dev/null || echo refused; echo x > /written/new");
    job.mounts = vec![
        mount(JobSource::Fd(0), "/link/shown", false),
        mount(JobSource::Fd(1), "/one", false),
        mount(JobSource::Fd(0), "/written", true),
    ];
    let text = image
        .start(job, &[&shown, &shown.join("file")])
        .finish()
        .text();
    assert_eq!(text, "text\ntext\nrefused");
    assert_eq!(fs_err::read(shown.join("new")).unwrap(), b"x\n");
    assert_eq!(image.changes(), [""; 0]);
}

fn files() {
    let image = Image::new();
    let mounts = vec![
        mount(
            JobSource::Bytes(b"secret".to_vec(), 0o400),
            "/run/secret",
            false,
        ),
        mount(
            JobSource::Bytes(b"public".to_vec(), 0o644),
            "/etc/public",
            false,
        ),
        mount(JobSource::Memory(0o1777), "/scratch", true),
    ];
    let mut job = sh(
        "cat /run/secret /etc/public; echo; echo x > /scratch/x; cat /scratch/x; \
                      (echo x > /etc/public) 2>/dev/null || echo refused",
    );
    job.mounts.clone_from(&mounts);
    assert_eq!(
        image.start(job, &[]).finish().text(),
        "secretpublic\nx\nrefused"
    );
    let mut job = sh("cat /etc/public; echo; cat /run/secret 2>/dev/null || echo refused");
    job.mounts = mounts;
    job.uid = 1000;
    assert_eq!(image.start(job, &[]).finish().text(), "public\nrefused");
    assert_eq!(image.changes(), [""; 0]);
}

fn network() {
    let image = Image::new();
    let interfaces = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.trim().to_owned())
            .collect()
    };
    let host = fs_err::read_to_string("/proc/self/net/dev").unwrap();
    let text = image.sh("cat /proc/net/dev").text();
    assert_eq!(interfaces(&text), interfaces(&host));
    let mut job = sh(
        "cat /proc/net/dev; ip link show lo | grep -c UP; ls /etc/resolv.conf 2>/dev/null; true",
    );
    job.own_network = true;
    let text = image.start(job, &[]).finish().text();
    assert_eq!(interfaces(&text), ["lo"]);
    assert!(text.ends_with("\n1"), "{text}");
}

fn names() {
    let image = Image::new();
    let mut job = sh("hostname; grep -c builder /etc/hosts; grep -c localhost /etc/hosts");
    job.hostname = "builder".into();
    let text = image.start(job, &[]).finish().text();
    assert!(text.starts_with("builder\n1\n"), "{text}");
}
