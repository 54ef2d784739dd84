//! Shell texts: what instructions mean to `/bin/sh`, the same for renderers and for the builder.

use crate::{PackageManager, Script};

/// The commands of an `Install`, one a line (package names continue theirs), as `Script::Lines`
/// has them. Packages are sorted by code point; `options` stand in place of the usual
/// `-q --no-install-recommends` (apt) or `-q` (yum).
pub fn install_script(
    package_manager: PackageManager,
    packages: &[String],
    options: Option<&str>,
) -> String {
    let mut packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    packages.sort_unstable();
    let packages = packages.join(" \\\n    ");
    match package_manager {
        PackageManager::Apt => {
            let options = options.unwrap_or("-q --no-install-recommends");
            format!(
                "apt-get update -qq\n\
                 apt-get install -y {options} \\\n    {packages}\n\
                 rm -rf /var/lib/apt/lists/*"
            )
        }
        PackageManager::Yum => {
            let options = options.unwrap_or("-q");
            format!(
                "yum install -y {options} \\\n    {packages}\n\
                 yum clean all\n\
                 rm -rf /var/cache/yum/*"
            )
        }
    }
}

/// The commands that make an account for `user` (`name` or `name:group`) unless there is one, as
/// `Script::Lines` has them. `None` for root and for numeric ids, which need no account.
pub fn user_script(user: &str) -> Option<String> {
    let name = user.split(':').next().unwrap_or_default();
    if name.is_empty() || name == "root" || name.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let word = if name.bytes().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    };
    Some(format!(
        "test \"$(getent passwd {word})\" \\\n\
         || useradd --no-user-group --create-home --shell /bin/bash {word}"
    ))
}

impl Script {
    /// The text for `/bin/sh -c`. The first failure ends it; directory and variables carry on from
    /// one command to the next. Empty if there is nothing to do.
    ///
    /// Commands of one line end the script with their own status, whatever the next one says about
    /// failures. Commands of several lines run under `set -e`. Lines are joined with `&&` as a
    /// Dockerfile's `RUN` joins them, so `||` in one of them speaks for those before it, too.
    pub fn shell(&self) -> String {
        match self {
            Self::Lines(text) => joined(text),
            Self::Commands(commands) => {
                let mut out = String::new();
                for command in commands {
                    let command = command.trim_end_matches(['\\', ' ', '\t', '\n', '\r']);
                    let nothing = |line: &str| line.is_empty() || line.starts_with('#');
                    if command.lines().all(|line| nothing(line.trim())) {
                        continue;
                    }
                    // The status is looked at afterwards: a command whose failure something waits
                    // for (`{ … } || exit`) would not stop at its own `set -e`.
                    let status = "[ $nd_status = 0 ] || exit $nd_status\n";
                    if one_line(command) {
                        out.extend([command.trim_start(), "\nnd_status=$?; ", status]);
                    } else {
                        out.extend(["set -e\n", command, "\nnd_status=$?; set +e; ", status]);
                    }
                }
                out
            }
        }
    }
}

/// Whether a shell reads `command` as one line.
fn one_line(command: &str) -> bool {
    let mut lines = command.lines();
    lines.next_back();
    lines.all(|line| line.trim_end().ends_with('\\') && line.ends_with('\\'))
}

/// Joins lines with `&&`: not before a line that itself continues (`&&`, `||`, `|`, `&`, `fi`), not
/// after a line that ends in a backslash or begins an `if`. Comment lines and empty lines go.
fn joined(text: &str) -> String {
    let mut out = String::new();
    let mut open = true;
    for line in text.lines() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let word = |word: &str| {
            line.strip_prefix(word).is_some_and(|rest| {
                !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            })
        };
        let continues = line.starts_with(['&', '|']) || word("fi");
        if !out.is_empty() {
            // After a backslash the next line belongs to this one; elsewhere a line may end here
            // only where a command may.
            out += if out.ends_with('\\') || (continues && word("fi")) {
                "\n"
            } else {
                " \\\n"
            };
        }
        if !open && !continues {
            out += "&& ";
        }
        out += line;
        open = line.ends_with('\\') || word("if");
    }
    out.trim_end_matches('\\').trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// Standard output and status of the text in a real shell.
    fn run(text: &str) -> (String, Option<i32>) {
        #[expect(clippy::disallowed_methods, reason = "a test asks a shell")]
        let output = std::process::Command::new("/bin/sh")
            .args(["-c", text])
            .output()
            .unwrap();
        (
            String::from_utf8(output.stdout).unwrap(),
            output.status.code(),
        )
    }

    #[test]
    fn packages_are_sorted_and_options_replaced() {
        let text = install_script(PackageManager::Apt, &strings(&["b", "a"]), None);
        assert_eq!(
            text,
            "apt-get update -qq\n\
             apt-get install -y -q --no-install-recommends \\\n    a \\\n    b\n\
             rm -rf /var/lib/apt/lists/*"
        );
        let text = install_script(PackageManager::Yum, &strings(&["a"]), Some("--x"));
        assert_eq!(
            text,
            "yum install -y --x \\\n    a\nyum clean all\nrm -rf /var/cache/yum/*"
        );
    }

    #[test]
    fn accounts_are_made_for_names_only() {
        assert_eq!(user_script("root"), None);
        assert_eq!(user_script("1000:1000"), None);
        assert_eq!(
            user_script("alice:staff").unwrap(),
            "test \"$(getent passwd alice)\" \\\n\
             || useradd --no-user-group --create-home --shell /bin/bash alice"
        );
        assert!(
            user_script("a b'c")
                .unwrap()
                .contains(r"passwd 'a b'\''c')")
        );
    }

    #[test]
    fn the_first_failing_command_ends_the_script_with_its_status() {
        let script = |words: &[&str]| Script::Commands(strings(words)).shell();
        assert_eq!(script(&["", " # only words", "\n"]), "");
        let (out, status) = run(&script(&[
            "cd /usr",
            "X=1 # note",
            "false || true",
            "echo $X $(pwd) \\\n  end \\",
        ]));
        assert_eq!((out.as_str(), status), ("1 /usr end\n", Some(0)));
        // What comes later cannot excuse what came before.
        let (out, status) = run(&script(&["echo a", "(exit 7)", "echo b || true"]));
        assert_eq!((out.as_str(), status), ("a\n", Some(7)));
        // What a command sets for itself is in force.
        let (out, status) = run(&script(&["set -e; echo a; false; echo b", "echo c"]));
        assert_eq!((out.as_str(), status), ("a\n", Some(1)));
        // Several lines keep their meaning: loops, here-documents, and the first failing line.
        let (out, status) = run(&script(&[
            "for i in 1 2\ndo\n  echo $i\ndone",
            "cat <<E\nx\nE",
        ]));
        assert_eq!((out.as_str(), status), ("1\n2\nx\n", Some(0)));
        assert_eq!(
            run(&script(&["echo a\n(exit 3)\necho b", "echo c"])),
            ("a\n".into(), Some(3))
        );
        assert_eq!(
            run(&script(&["echo a\nfalse && true", "echo c"])),
            ("a\n".into(), Some(1))
        );
    }

    #[test]
    fn lines_are_joined_as_a_dockerfile_joins_them() {
        let text = "export X=1\n# note\n\nif [ $X = 1 ]; then\n  echo yes\n  echo more;\nfi\n\
                    echo $X \\\n    end\nfind_it() { echo $1; }\nfind_it 2\n| cat\ntrue\n|| echo no";
        let shell = Script::Lines(text.into()).shell();
        let (out, status) = run(&shell);
        assert_eq!(
            (out.as_str(), status),
            ("yes\nmore\n1 end\n2\n", Some(0)),
            "{shell}"
        );
        let failing = Script::Lines("echo a\ncurl_missing 2>/dev/null && echo b\necho c".into());
        assert_eq!(run(&failing.shell()), ("a\n".into(), Some(127)));
    }
}
