//! What each instruction does.

use std::os::unix::fs::PermissionsExt as _;

use nd_builder::{HostMount, SharedDir};
use nd_instructions::{BindMount, EnvPair, Network, Op, Script};

use crate::support::*;

pub(crate) fn steps_see_what_came_before_them() {
    let mut lab = Lab::new();
    lab.args.insert("GIVEN".into(), "given".into());
    let arg = |name: &str, default: Option<&str>| Op::Arg {
        name: name.into(),
        default: default.map(Into::into),
    };
    let built = lab.build(vec![
        arg("GIVEN", None),
        arg("OTHER", Some("$GIVEN-default")),
        env("TOOL", "/opt/$OTHER"),
        env("PATH", "${TOOL}/bin:$PATH"),
        Op::Workdir {
            path: "/work".into(),
        },
        Op::Workdir {
            path: "sub/dir".into(),
        },
        run("echo $TOOL $PATH $(pwd) $OTHER $SOURCE_DATE_EPOCH $HOME > out && id -u >> out"),
    ]);
    assert_eq!(
        lab.text(&built, "work/sub/dir/out"),
        "/opt/given-default /opt/given-default/bin:/bin /work/sub/dir given-default 1600000000 /root\n0\n"
    );
    assert_eq!(built.state.cwd, "/work/sub/dir");
    assert_eq!(built.state.env["PATH"], "/opt/given-default/bin:/bin");
    assert!(!built.state.env.contains_key("OTHER"));
    let dir = lab.index(&built).get("work/sub").unwrap().clone();
    assert_eq!(
        (dir.attr.mode, dir.attr.uid, dir.attr.mtime),
        (0o755, 0, EPOCH)
    );
}

pub(crate) fn users_are_those_of_the_image() {
    if ids().name() == "single" {
        println!("skipped: there is but one user without a range of ids");
        return;
    }
    let lab = Lab::new();
    let built = lab.build(vec![
        run("chmod 1777 /tmp && mkdir -m 0777 /who"),
        user("ann"),
        run("echo $(id -u) $(id -g) $(id -G) $HOME > /who/ann"),
        user("1234:lab"),
        run("echo $(id -u) $(id -g) $HOME > /who/number"),
        user("root"),
        run("chown 3:lab /who/number; chmod 4711 /who/number"),
    ]);
    assert_eq!(lab.text(&built, "who/ann"), "7 8 8 20 /home/ann\n");
    assert_eq!(lab.text(&built, "who/number"), "1234 20 /\n");
    let index = lab.index(&built);
    let attr = &index.get("who/number").unwrap().attr;
    assert_eq!((attr.uid, attr.gid, attr.mode), (3, 20, 0o4711));
    let attr = &index.get("who/ann").unwrap().attr;
    assert_eq!((attr.uid, attr.gid), (7, 8));
    assert_eq!(built.state.user, "root");

    let error = lab
        .try_build(vec![user("12"), user("14:nobody-knows"), run("true")])
        .unwrap_err();
    assert!(
        with_causes(&error).contains("no group `nobody-knows`"),
        "{}",
        with_causes(&error)
    );
}

pub(crate) fn configuration_makes_no_layer() {
    let lab = Lab::new();
    let label = Op::Label {
        pairs: vec![EnvPair {
            name: "org.example".into(),
            value: "x $A".into(),
        }],
    };
    let entrypoint = Op::Entrypoint {
        argv: vec!["/start".into(), "now".into()],
    };
    let built = lab.build(vec![env("A", "1"), label, entrypoint, user("7")]);
    assert_eq!(built.layers, lab.base.layers);
    assert!(built.steps.is_empty());
    let config = built.state.config();
    assert_eq!(config.env().as_deref().unwrap(), ["PATH=/bin", "A=1"]);
    assert_eq!(config.labels().as_ref().unwrap()["org.example"], "x 1");
    assert_eq!(config.entrypoint().as_deref().unwrap(), ["/start", "now"]);
    assert_eq!(config.user().as_deref(), Some("7"));
}

pub(crate) fn build_only_things_leave_no_trace() {
    let mut lab = Lab::new();
    let cache = lab.root.path().join("cache");
    fs_err::create_dir_all(cache.join("files")).unwrap();
    fs_err::write(
        cache.join("files/tool.sh"),
        "#!/bin/sh\necho from the context\n",
    )
    .unwrap();
    let executable = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(cache.join("files/tool.sh"), executable).unwrap();
    let secret = lab.root.path().join("sources.list");
    fs_err::write(&secret, "machine.example\n").unwrap();
    // As private as files of root are.
    fs_err::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let folder = lab.root.path().join("keys");
    fs_err::create_dir(&folder).unwrap();
    fs_err::write(folder.join("k"), vec![b'k'; 300_000]).unwrap();
    let mount = |source: &std::path::Path, target: &str| HostMount {
        source: source.into(),
        target: target.into(),
    };
    lab.host_mounts = vec![
        mount(&secret, "/etc/apt/sources.list"),
        mount(&secret, "/etc/group"),
        mount(&folder, "/usr/share/keys"),
        mount(&folder.join("k"), "/big"),
    ];
    lab.host_env = vec![("http_proxy".into(), "http://machine.example".into())];
    let bind = |target: &str, source: &str| BindMount {
        context: "cache".into(),
        source: source.into(),
        target: target.into(),
    };
    let step = |script: &str| Op::Run {
        script: Script::Commands(vec![script.into()]),
        mounts: vec![
            bind("/.cache/files", "/files"),
            bind("/one.sh", "/files/tool.sh"),
        ],
        network: Network::Host,
    };
    let look = "cat /etc/apt/sources.list /etc/group && test $http_proxy = http://machine.example && \
                /.cache/files/tool.sh && /one.sh && test $(cat /usr/share/keys/k /big | wc -c) = 600000 && \
                ! echo x > /etc/group && ! touch /.cache/files/new";
    let built = lab.build(vec![step(look)]);
    let said = lab.said.lines();
    let says = |line: &str| said.iter().filter(|s| *s == line).count();
    assert_eq!(
        (says("say machine.example"), says("say from the context")),
        (2, 2),
        "{said:?}"
    );
    // Nothing changed, so there is no layer: no mount point, no directory on the way to one.
    assert_eq!(built.layers, lab.base.layers);

    let built = lab.build(vec![step("echo x > /etc/apt/own; echo y > /etc/own")]);
    // What a step makes beside a mount point stays.
    assert_eq!(
        lab.top(&built),
        ["etc/", "etc/apt/", "etc/apt/own", "etc/own"]
    );
}

pub(crate) fn scripts_share_a_folder_that_no_layer_holds() {
    let mut lab = Lab::new();
    let setting = lab.root.path().join("setting");
    fs_err::write(&setting, "shared\n").unwrap();
    lab.shared = vec![SharedDir {
        target: "/run/build/lists".into(),
        mounts: vec![HostMount {
            source: setting,
            target: "/etc/setting".into(),
        }],
        wanted: |script| script.contains("list"),
    }];
    let built = lab.build(vec![
        run(
            "test $(cat /etc/setting) = shared && mkdir -m 700 /run/build/lists/partial && \
             echo one > /run/build/lists/partial/a && echo list > /said",
        ),
        run("test ! -e /etc/setting && test ! -e /run/build && echo other >> /said"),
        run("cat /run/build/lists/partial/a >> /said && echo two > /run/build/lists/b"),
    ]);
    assert_eq!(lab.text(&built, "said"), "list\nother\none\n");
    for path in ["run/build", "etc/setting"] {
        assert!(lab.index(&built).get(path).is_none(), "{path}");
    }
    let left = fs_err::read_dir(lab.store.temporary()).unwrap().count();
    assert_eq!(left, 0, "something of the folder is left");
}
