//! What a file should hold, as a rule over what it holds now.

/// What a file should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Exactly this.
    Whole(String),
    /// These assignments `NAME=value`, as shells and CVMFS read them, among others.
    Settings(Vec<Setting>),
    /// These top-level directives of Apache, among others.
    Directives(Vec<Setting>),
    /// A line of `fstab` for its mount point, among others.
    Mount {
        /// The device.
        device: String,
        /// The mount point.
        mount: String,
        /// Type, options and the numbers behind them.
        rest: &'static str,
    },
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The name.
    pub name: &'static str,
    /// The value; words of a description, which hold neither quotes nor line breaks.
    pub value: String,
}

impl Setting {
    pub(super) fn new(name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        Self { name, value }
    }

    /// The assignment, quoted where the value has more than letters.
    fn assignment(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+".contains(c);
        if !self.value.is_empty() && self.value.chars().all(plain) {
            format!("{}={}", self.name, self.value)
        } else {
            format!("{}=\"{}\"", self.name, self.value)
        }
    }
}

/// How a file compares with its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It holds what it should.
    Same,
    /// It lacks something, and nothing has to go.
    Lacks,
    /// Something in it has to change.
    Differs,
}

impl Content {
    /// The text that the file should have, given the one it has.
    pub fn over(&self, now: Option<&str>) -> String {
        match self {
            Self::Whole(text) => text.clone(),
            Self::Settings(settings) => merged(
                now,
                false,
                settings.iter().map(|setting| {
                    let owns = |line: &str| assigned(line) == Some(setting.name);
                    (owns, setting.assignment())
                }),
            ),
            Self::Directives(settings) => {
                let owned = settings.iter().map(|setting| {
                    let owns = |line: &str| is_directive(line, setting.name);
                    (owns, format!("{} {}", setting.name, setting.value))
                });
                merged(now, true, owned)
            }
            Self::Mount {
                device,
                mount,
                rest,
            } => {
                let owns = |line: &str| mounts(line, mount);
                merged(now, false, [(owns, format!("{device} {mount} {rest}"))])
            }
        }
    }

    /// How the text that the file has compares.
    pub fn fit(&self, now: Option<&str>) -> Fit {
        let Some(text) = now else { return Fit::Lacks };
        let wanted = self.over(now);
        if wanted == text {
            return Fit::Same;
        }
        // What is only added keeps every line that is there.
        let mut lines = wanted.lines();
        let kept = text.lines().all(|line| lines.any(|other| other == line));
        match self {
            Self::Whole(_) => Fit::Differs,
            _ if kept => Fit::Lacks,
            _ => Fit::Differs,
        }
    }
}

/// The text with each owned line in place of the first one that its owner recognises, the further
/// ones gone, and those that are nowhere at the end. Lines between `<…>` and `</…>` belong to nobody
/// when `sections` says that there are such.
fn merged<F: Fn(&str) -> bool>(
    now: Option<&str>,
    sections: bool,
    owned: impl IntoIterator<Item = (F, String)>,
) -> String {
    let mut lines: Vec<String> = now.unwrap_or("").lines().map(str::to_owned).collect();
    for (owns, line) in owned {
        let mut depth = 0_u32;
        let mut first = None;
        let mut at = 0;
        lines.retain(|other| {
            let word = other.trim_start();
            if sections && word.starts_with("</") {
                depth = depth.saturating_sub(1);
            } else if sections && word.starts_with('<') {
                depth += 1;
            }
            let mine = depth == 0 && owns(other);
            let keep = !mine || first.is_none();
            if mine && first.is_none() {
                first = Some(at);
            }
            at += usize::from(keep);
            keep
        });
        match first {
            Some(at) => lines[at] = line,
            None => lines.push(line),
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// The name that a line assigns to.
fn assigned(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    line.split_once('=').map(|(name, _)| name)
}

fn is_directive(line: &str, name: &str) -> bool {
    let word = line.split_whitespace().next();
    word.is_some_and(|word| word.eq_ignore_ascii_case(name))
}

fn mounts(line: &str, mount: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some_and(|word| !word.starts_with('#')) && words.next() == Some(mount)
}

#[cfg(test)]
mod tests {
    //! Lines of others stay, our own are replaced once.

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn settings_are_set_once_among_others() {
        let content =
            Content::Settings(vec![Setting::new("A", "1"), Setting::new("B", "two words")]);
        assert_eq!(content.over(None), "A=1\nB=\"two words\"\n");
        let now = "# A=0\nA=0\nAB=3\n  export A=9\nC=\"x\"\n";
        let wanted = "# A=0\nA=1\nAB=3\nC=\"x\"\nB=\"two words\"\n";
        assert_eq!(content.over(Some(now)), wanted);
        assert_eq!(content.fit(Some(now)), Fit::Differs);
        assert_eq!(content.fit(Some(wanted)), Fit::Same);
        assert_eq!(content.fit(Some("C=1\nA=1\n")), Fit::Lacks);
        assert_eq!(content.fit(Some("")), Fit::Lacks);
        assert_eq!(content.fit(None), Fit::Lacks);
    }

    #[test]
    fn directives_inside_sections_are_left_alone() {
        let content = Content::Directives(vec![Setting::new("Listen", "127.0.0.1:8080")]);
        let now =
            "# Listen 1\nlisten 80\n<IfModule ssl>\n\tListen 443\n</IfModule>\nListen 81\nX y\n";
        assert_eq!(
            content.over(Some(now)),
            "# Listen 1\nListen 127.0.0.1:8080\n<IfModule ssl>\n\tListen 443\n</IfModule>\nX y\n"
        );
    }

    #[test]
    fn a_mount_point_has_one_line() {
        let content = Content::Mount {
            device: "/dev/vdb".into(),
            mount: "/storage".into(),
            rest: "auto defaults,nofail 0 2",
        };
        let line = "/dev/vdb /storage auto defaults,nofail 0 2\n";
        assert_eq!(
            content.over(Some("UUID=1 / ext4\n")),
            format!("UUID=1 / ext4\n{line}")
        );
        assert_eq!(content.over(Some("/dev/sdc /storage xfs\n")), line);
        assert_eq!(content.fit(Some("/dev/sdc /storage xfs\n")), Fit::Differs);
    }

    proptest! {
        /// What was written is what is wanted, and nothing of others is lost.
        #[test]
        fn writing_once_is_enough(
            lines in prop::collection::vec("(A=[a-z]{0,2}|B=|export A=x|Listen [0-9]{2}|/dev/x /m ext4|# A=|[a-z <]{0,6})", 0..12),
        ) {
            let text = lines.join("\n");
            for content in [
                Content::Settings(vec![Setting::new("A", "1"), Setting::new("B", "x y")]),
                Content::Mount { device: "/dev/y".into(), mount: "/m".into(), rest: "auto" },
                Content::Whole("x\n".into()),
            ] {
                let written = content.over(Some(&text));
                prop_assert_eq!(content.fit(Some(&written)), Fit::Same);
                if matches!(content, Content::Whole(_)) {
                    continue;
                }
                for line in lines.iter().filter(|line| line.starts_with(['#', 'L']) || line.contains('<')) {
                    prop_assert!(written.lines().any(|other| other == line));
                }
            }
        }
    }
}
