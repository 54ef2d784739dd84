//! Codes of the rules, with the words of their pages.

use nd_report::{Code, Explanation};

macro_rules! rules {
    ($($constant:ident = $number:literal $name:literal: $summary:literal, $details:literal, $wrong:literal => $right:literal;)*) => {
        $(
            #[doc = $summary]
            pub const $constant: Code = Code { number: $number, name: $name };
        )*

        /// All codes of rules, by number.
        pub const EXPLANATIONS: &[Explanation] = &[
            $(Explanation {
                code: $constant,
                summary: $summary,
                details: $details,
                wrong: $wrong,
                right: $right,
            },)*
        ];
    };
}

rules! {
    HOME = 500 "home-at-run-time": "something that is needed at run time lies in a home folder",
        "Apptainer puts the user's own home folder over the one of the image: what the image has below \
         `/root`, or below `/home` on many systems, is invisible or not readable for whoever runs the \
         container. Install below `/opt`, and let variables point there.",
        "environment:\n  TOOL_MODELS: /root/.tool/models\n" => "environment:\n  TOOL_MODELS: /opt/tool/models\n";
    TILDE = 501 "tilde-in-variable": "a variable holds a `~` that nothing replaces",
        "Only a shell replaces `~`, and only when it reads a command. In the environment of an image the \
         character stays, and programs look for a folder of that name.",
        "environment:\n  CACHE: ~/.cache/tool\n" => "environment:\n  CACHE: /tmp/tool\n";
    REPLACED_VARIABLE = 502 "replaced-variable": "a variable of the image is replaced when the container starts",
        "Apptainer sets `HOME`, `USER`, `PWD` and a few others for whoever runs the container. What an \
         image says about them is lost. Let the tool's own variables, or a wrapper script, do what is \
         needed.",
        "environment:\n  HOME: /opt/tool\n" => "environment:\n  TOOL_HOME: /opt/tool\n";
    HOST_VARIABLE = 503 "host-variable": "a variable refers to one that an image does not have",
        "References in `environment` are replaced while the image is built, by variables that the image \
         has. `HOME`, `USER` and the like exist only in a running container, so the reference becomes \
         empty text.",
        "environment:\n  CACHE: $HOME/.cache/tool\n" => "environment:\n  CACHE: /tmp/tool\n";
    LOST_EXPORT = 504 "lost-export": "an exported variable is lost when its step ends",
        "Each `run` has a shell of its own. A variable that its last command exports is gone before \
         anything can use it. Use `environment`.",
        "run:\n  - export PATH=$PATH:/opt/tool/bin\n" => "environment:\n  PATH: $PATH:/opt/tool/bin\n";
    SHELL_START_FILE = 505 "shell-start-file": "a setting is written to a file that only interactive shells read",
        "Commands of a container are started without an interactive or login shell, and often with a \
         clean environment: nothing reads `.bashrc`, `.profile` or `/etc/profile.d`. Use `environment`, \
         or a wrapper script.",
        "run:\n  - echo 'export TOOL=/opt/tool' >> ~/.bashrc\n" => "environment:\n  TOOL: /opt/tool\n";

    BASE_DIGEST = 510 "base-without-digest": "the base image may change without the recipe changing",
        "A tag can be moved to another image at any time, and for distributions it is. With a digest, \
         `IMAGE:TAG@sha256:…`, the same recipe starts from the same bytes forever.",
        "base-image: ubuntu:24.04\n" => "base-image: ubuntu:24.04@sha256:DIGEST\n";
    MOVING_BASE = 511 "moving-base": "the base image has no version",
        "`latest`, or no tag at all, means another image every few weeks. A rebuild of the same recipe \
         gives another container, or none.",
        "base-image: ubuntu:latest\n" => "base-image: ubuntu:24.04\n";

    NO_CHECKSUM = 520 "no-checksum": "a downloaded file is not checked",
        "A server can deliver another file tomorrow under the same URL, by mistake or not. With `sha256` \
         the build refuses it.",
        "files:\n  - name: tool\n    url: https://example.org/tool.tar.gz\n" => "files:\n  - name: tool\n    url: https://example.org/tool.tar.gz\n    sha256: DIGEST\n";
    UNCHECKED_DOWNLOAD = 521 "unchecked-download": "a command downloads a file and nobody checks it",
        "Files that `curl` or `wget` fetch are neither cached nor checked. Declare the file under \
         `files` with `url` and `sha256` and use `get_file`, or check it with `sha256sum -c` in the \
         same step.",
        "run:\n  - curl -fsSL https://example.org/tool.tar.gz | tar xz -C /opt\n" => "run:\n  - tar xz -C /opt -f {{ get_file(\"tool\") }}\n";
    PLAIN_HTTP = 522 "plain-http": "something is fetched without encryption",
        "Anybody on the way can replace what plain `http` delivers. Nearly every server speaks `https`; \
         where one does not, `sha256` and `insecure: true` say that this is known.",
        "files:\n  - name: tool\n    url: http://example.org/tool.tar.gz\n" => "files:\n  - name: tool\n    url: https://example.org/tool.tar.gz\n";
    UNPINNED_PIP = 523 "unpinned-pip": "`pip install` takes whatever version is newest",
        "The same recipe gives another container next month, and one day none at all: this is the most \
         frequent reason why an old recipe no longer builds. Give each package a version.",
        "run:\n  - pip install nibabel\n" => "run:\n  - pip install nibabel==5.3.2\n";

    UNNAMED_COMMAND = 530 "unnamed-command": "a deployed command is named by no step",
        "`deploy.bins` promises a command, and nothing in the steps mentions it. It may come from an \
         archive or a package; if it does not, users get a module without its command. A build says \
         for sure.",
        "directives:\n  - install: curl\n  - deploy: {bins: [tool]}\n" => "directives:\n  - copy: tool /usr/local/bin/tool\n  - deploy: {bins: [tool]}\n";
    EXPOSED_PYTHON = 531 "exposed-python": "`deploy` puts a Python interpreter before the user's own",
        "Every executable in a folder of `deploy.path` becomes a command of whoever loads the module. The \
         `bin` folder of a Python environment holds `python` and `pip`, which then replace the user's. \
         Name the commands in `deploy.bins`, or link them into a folder of their own.",
        "deploy:\n  path: [/opt/miniconda-latest/envs/tool/bin]\n" => "deploy:\n  bins: [tool]\n";
    SYSTEM_PATH = 532 "system-folder-deployed": "`deploy.path` names a folder of the system",
        "Every executable in a folder of `deploy.path` becomes a command of whoever loads the module. \
         `/usr/bin` and its like hold hundreds, from `ls` to `python`, which then replace the \
         user's.",
        "deploy:\n  path: [/usr/bin]\n" => "deploy:\n  bins: [tool]\n";

    ICON_BROKEN = 540 "icon-broken": "the icon is no image that can be decoded",
        "The data of the icon are damaged, cut short, or of another type than the URI says. Menus show \
         nothing, or fail.",
        "" => "";
    ICON_TYPE = 541 "icon-not-png": "the icon is not a PNG image",
        "Menus of older desktops show PNG images alone.",
        "icon: data:image/svg+xml;base64,…\n" => "icon: data:image/png;base64,…\n";
    ICON_SHAPE = 542 "icon-not-square": "the icon is not square",
        "Menus draw icons into squares and distort others. Add transparent borders.",
        "" => "";
    ICON_SIZE = 543 "icon-size": "the icon is too small or too large to be shown well",
        "Menus and the website draw icons with 24 to 256 pixels. An icon of 1 pixel is a placeholder; \
         one of megabytes is loaded by everybody who opens the list.",
        "" => "";

    SUFFIXED_VERSION = 550 "suffixed-version": "a URL holds the version with suffixes of options",
        "`context.version` carries the `version_suffix` of each option that is on. Servers know the \
         version that the recipe gives: `context.original_version`.",
        "url: https://example.org/tool-{{ context.version }}.tar.gz\n" => "url: https://example.org/tool-{{ context.original_version }}.tar.gz\n";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_words_keep_the_style() {
        assert!(EXPLANATIONS.is_sorted_by(|a, b| a.code.number < b.code.number));
        for words in EXPLANATIONS {
            assert!(!words.summary.ends_with('.'), "{}", words.code);
            assert!(words.details.ends_with('.'), "{}", words.code);
            assert_eq!(
                words.wrong.is_empty(),
                words.right.is_empty(),
                "{}",
                words.code
            );
        }
    }
}
