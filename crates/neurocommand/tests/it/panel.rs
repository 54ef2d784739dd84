//! The menu in a real panel of LXDE: opened, walked through by keys, and an entry started.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nd_testkit::{TestEnv, corpus, peer};

use crate::support::{good, write};

/// Longer than a panel takes to draw something on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A panel whose only content is the button of the menu.
const PANEL: &str = "Global {\n edge=bottom\n align=left\n margin=0\n widthtype=percent\n width=100\n height=26\n \
    iconsize=24\n}\nPlugin {\n type=menu\n Config {\n  system {\n  }\n }\n}\n";

/// The menu of the desktop, with nothing in it but what others merge into it.
const MENU: &str = "<!DOCTYPE Menu PUBLIC \"-//freedesktop//DTD Menu 1.0//EN\" \
    \"http://www.freedesktop.org/standards/menu-spec/1.0/menu.dtd\">\n\
    <Menu><Name>Applications</Name><DefaultAppDirs/><DefaultDirectoryDirs/><DefaultMergeDirs/></Menu>\n";

/// A program that ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A screen in memory, with a panel on it.
struct Desktop<'e> {
    env: &'e TestEnv,
    display: String,
    keys: PathBuf,
    control: PathBuf,
    // Ended in this order.
    _panel: Running,
    _screen: Running,
}

/// What a screen shows: width, height, and three bytes for each point.
#[derive(Clone, PartialEq)]
struct Picture(u32, u32, Vec<u8>);

impl<'e> Desktop<'e> {
    /// Starts both; `None` after saying which program is missing.
    fn start(env: &'e TestEnv) -> Option<Self> {
        let (screen, panel) = (peer("Xvfb")?, peer("lxpanel")?);
        let (keys, control) = (peer("xdotool")?, peer("lxpanelctl")?);
        let home = env.root().join("home");
        for (path, text) in [
            (".config/lxpanel/LXDE/panels/panel", PANEL),
            (".config/menus/lxde-applications.menu", MENU),
            (".gtkrc-2.0", "gtk-menu-images = 1\n"),
        ] {
            fs_err::create_dir_all(home.join(path).parent().unwrap()).unwrap();
            fs_err::write(home.join(path), text).unwrap();
        }
        for folder in ["run", "screen"] {
            fs_err::create_dir_all(env.root().join(folder)).unwrap();
        }
        let mut child = Command::new(screen)
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "720x600x24",
                "-nolisten",
                "tcp",
                "-fbdir",
            ])
            .arg(env.root().join("screen"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = child.stdout.take().unwrap();
        let screen = Running(child);
        let mut number = String::new();
        BufReader::new(said).read_line(&mut number).unwrap();
        let display = format!(":{}", number.trim());
        let panel = in_desktop(env, &display, &panel)
            .args(["--profile", "LXDE"])
            .spawn()
            .unwrap();
        let desktop = Self {
            env,
            display,
            keys,
            control,
            _panel: Running(panel),
            _screen: screen,
        };
        let is_drawn = |picture: &Picture| picture.2.iter().any(|byte| *byte != 0);
        desktop.wait(is_drawn);
        Some(desktop)
    }

    fn picture(&self) -> Option<Picture> {
        Picture::of(&self.env.root().join("screen/Xvfb_screen0"))
    }

    /// The picture as soon as it is as wanted, and does not change any more.
    fn wait(&self, wanted: impl Fn(&Picture) -> bool) -> Option<Picture> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(50));
            if let Some(mut picture) = self.picture().filter(&wanted) {
                // All of it may not be drawn yet.
                loop {
                    std::thread::sleep(Duration::from_millis(200));
                    match self.picture() {
                        Some(next) if next != picture && begun.elapsed() < PATIENCE => {
                            picture = next;
                        }
                        _ => return Some(picture),
                    }
                }
            }
        }
        None
    }

    /// Opens the menu and presses `keys`, each when what the one before did is seen.
    fn walk(&self, keys: &[&str]) -> Picture {
        let before = self.picture().unwrap();
        let mut now = None;
        // A panel that is just starting does not hear yet; one that was only slow would close it again.
        for attempt in 0..6 {
            let mut open = in_desktop(self.env, &self.display, &self.control);
            assert!(open.arg("menu").status().unwrap().success());
            let begun = Instant::now();
            while now.is_none() && begun.elapsed() < Duration::from_secs(2 << attempt) {
                std::thread::sleep(Duration::from_millis(100));
                now = self.picture().filter(|picture| *picture != before);
            }
            if now.is_some() {
                break;
            }
        }
        assert!(now.is_some(), "the menu does not open");
        let mut last = self.wait(|_| true).unwrap();
        for key in keys {
            let mut press = in_desktop(self.env, &self.display, &self.keys);
            assert!(press.args(["key", key]).status().unwrap().success());
            let next = self.wait(|picture| *picture != last);
            assert!(next.is_some(), "nothing happens at `{key}` of {keys:?}");
            last = next.unwrap();
        }
        last
    }
}

/// A program of the desktop of `env`'s user.
fn in_desktop(env: &TestEnv, display: &str, program: &Path) -> Command {
    let home = env.root().join("home");
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("DISPLAY", display)
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", env.root().join("run"))
        .env("XDG_CONFIG_HOME", home.join(".config"))
        .env("XDG_DATA_HOME", home.join(".local/share"))
        .env("XDG_CONFIG_DIRS", env.root())
        // Kinds of files, by which pictures are told, are known there.
        .env("XDG_DATA_DIRS", "/usr/share")
        .env("XDG_MENU_PREFIX", "lxde-")
        .current_dir(env.work())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

impl Picture {
    /// Reads the file of a screen, which is a window dump of X: numbers of four bytes, then colours,
    /// then points as blue, green, red and one byte for nothing.
    fn of(path: &Path) -> Option<Self> {
        let bytes = fs_err::read(path).ok()?;
        let number = |at: usize| {
            let four = bytes.get(4 * at..4 * at + 4)?;
            Some(u32::from_be_bytes(four.try_into().ok()?))
        };
        let (width, height) = (number(4)?, number(5)?);
        let start = (number(0)? + 12 * number(19)?) as usize;
        let line = number(12)? as usize;
        let mut points = Vec::new();
        for y in 0..height as usize {
            let row = bytes.get(start + y * line..start + (y + 1) * line)?;
            let row = row.chunks_exact(4).take(width as usize);
            points.extend(row.flat_map(|point| [point[2], point[1], point[0]]));
        }
        Some(Self(width, height, points))
    }

    fn save(&self, path: &Path) {
        let mut encoder = png::Encoder::new(fs_err::File::create(path).unwrap(), self.0, self.1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&self.2).unwrap();
    }
}

#[test]
fn an_entry_is_started_from_the_panel_of_a_desktop() {
    let env = TestEnv::new().unwrap();
    let apps = r#"{"tool": {"apps": {
        "showGUI-tool 1.0": {"version": "20240101", "exec": "show 'a b'", "terminal": false},
        "tool 1.0": {"version": "20240101", "exec": ""}}, "categories": ["statistics"]}}"#;
    write(&env, "apps.json", apps);
    let marker = env.work().join("started");
    let script = format!(
        "#!/bin/sh\nprintf '<%s>' \"$@\" > '{0}.new' && mv '{0}.new' '{0}'\n",
        marker.display()
    );
    let launcher = write(&env, "launcher", &script);
    let launcher = format!("launcher = [\"/bin/sh\", \"{}\"]\n", launcher.display());
    write(&env, "neurodesk.toml", &launcher);
    good(&env, &["menu", "build"]);
    good(&env, &["menu", "install"]);
    let Some(desktop) = Desktop::start(&env) else {
        return;
    };
    // Neurodesk, All Applications, Tool, showGUI 1.0.
    desktop.walk(&["Down", "Right", "Right", "Right", "Return"]);
    let begun = Instant::now();
    while !marker.exists() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    let said = fs_err::read_to_string(&marker).unwrap();
    assert_eq!(said, "<tool><1.0><show><a b>");
}

/// Where `ND_SAVE_PICTURES` is set, the picture of the guide is made anew.
#[test]
fn the_whole_catalogue_is_shown_in_the_panel_of_a_desktop() {
    let Some(corpus) = corpus() else { return };
    let env = TestEnv::new().unwrap();
    let apps = corpus.join("neurocommand/apps.json");
    good(&env, &["menu", "build", "--apps", apps.to_str().unwrap()]);
    good(&env, &["menu", "install"]);
    let Some(desktop) = Desktop::start(&env) else {
        return;
    };
    // Neurodesk, All Applications, BIDS Apps, Body, Cryo EM, Relion, its first version.
    let keys = ["Down", "Right", "Down", "Down", "Down", "Right", "Right"];
    let picture = desktop.walk(&keys);
    let colours = |picture: &Picture| {
        let points = picture.2.chunks_exact(3);
        points.collect::<std::collections::BTreeSet<_>>().len()
    };
    // Icons of many colours: more than a panel without a menu has.
    assert!(colours(&picture) > 20, "{}", colours(&picture));
    if std::env::var_os("ND_SAVE_PICTURES").is_some() {
        let guide =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src/images/menu.png");
        picture.save(&guide);
    }
}
