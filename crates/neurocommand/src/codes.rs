//! Codes of all diagnostics about catalogues, release records and deployment files.

use nd_report::{Code, Explanation};

/// Declares constants for codes and the table of their words.
macro_rules! rules {
    ($($constant:ident = $number:literal $name:literal: $summary:literal, $details:literal;)*) => {
        $(
            #[doc = $summary]
            pub const $constant: Code = Code { number: $number, name: $name };
        )*

        /// Words about every code of this crate, by number.
        pub const EXPLANATIONS: &[Explanation] = &[
            $(Explanation { code: $constant, summary: $summary, details: $details, wrong: "", right: "" },)*
        ];
    };
}

rules! {
    SYNTAX = 700 "json-syntax": "the text is no JSON",
        "Catalogues and release records are JSON by RFC 8259: no comments, no trailing commas, no `NaN`.";
    LIMIT = 701 "json-limit": "a file passes a limit",
        "A catalogue of 500 applications has some 100 kB and 3000 values. A file with more than 32 MB, a million \
         values or collections more than 32 deep is not read.";
    DUPLICATE_KEY = 702 "json-duplicate-key": "a key stands twice in one object",
        "Most readers silently take the last value, so one of the two entries is lost.";
    WRONG_KIND = 703 "catalogue-type": "a value has another type than its key needs",
        "`apps` and each application are objects, `categories` and `apptainer_args` lists of text, `version` and \
         `exec` text, visibility and `terminal` booleans. Older programs take anything but `false` for visible.";
    UNKNOWN_MEMBER = 704 "catalogue-key": "a key is not part of the catalogue",
        "It has no effect. A misspelt key means that the intended one is missing.";
    MISSING_MEMBER = 705 "catalogue-missing-key": "a key that has to be there is not",
        "Each application has a `version`, the date of its build. Without it no image, list or menu entry can be \
         named.";
    BAD_DATE = 706 "catalogue-date": "a `version` is no build date",
        "`version` is the day the image was built, a calendar day of eight digits. The version proper is the part \
         of the application's name after its last space.";
    UNSAFE_NAME = 707 "catalogue-name": "a name holds characters that names may not have",
        "Names become file names, menu entries, module names and words of commands. They hold letters, digits, \
         blank, `.`, `_`, `-` and `+` of ASCII and begin with a letter or digit. Quotes, slashes, control \
         characters and text that runs from right to left are refused, never escaped.";
    NO_LABEL = 708 "catalogue-label": "an application with a command has no label before its container",
        "Applications with an `exec` are called `LABEL-CONTAINER VERSION`. Without a `-` nothing says which \
         container runs the command.";
    NO_SUCH_MODULE = 709 "catalogue-module": "an application names a container or version that nothing provides",
        "What stands before the last space has to be the name of its container. Entries such as `amico 2.1.0 \
         arm64`, the older form for ARM, name a module `amico 2.1.0` that does not exist.";
    COLLISION = 710 "catalogue-collision": "two applications have one file name",
        "Menu entries and launchers are named by the application in lower case with `-` for blanks and `_` for \
         dots, so that `a.b 1` and `a_b 1` would overwrite each other.";
    DUPLICATE_APP = 711 "catalogue-duplicate-app": "one application belongs to two containers",
        "The name of an application is its identity; only one container can have it.";
    UNKNOWN_CATEGORY = 712 "catalogue-category": "a category is not one that menus know",
        "An application of an unknown category stands under all applications only.";
    BAD_WORDS = 713 "catalogue-exec": "a command cannot be split into words",
        "`exec` is split as a shell splits words, and nothing of it is interpreted further. A quote is not closed \
         or a backslash ends the text.";
    NOT_CANONICAL = 714 "catalogue-form": "the file is not in canonical form",
        "Containers sorted by name, members in their order, four blanks of indentation, ASCII, no final newline. \
         Every program that writes the file writes this form, so that a change shows what changed.";
    RELEASE_NAME = 715 "release-name": "a release record names other applications than its place says",
        "`releases/CONTAINER/VERSION.json` holds the application `CONTAINER VERSION` first.";
    EMPTY_RELEASE = 716 "release-empty": "a release record names no application",
        "A record without applications publishes nothing.";
    SKIPPED_RELEASE = 717 "release-older-form": "a release record is of the older form for ARM and is left out",
        "It has an `architecture` but no `variant`. Containers for ARM are called `NAME_arm64` today.";
    CONFLICT = 718 "catalogue-conflict": "two changes of one catalogue disagree",
        "Both change the same application or key, and not to the same value. Nothing is decided silently: settle \
         it in one of the sources, or say which wins.";
    WEBAPP = 719 "webapp": "a web application cannot be listed as the recipe has it",
        "The list for JupyterLab takes the mapping `deploy.webapp` of a recipe that has a release. An icon has to \
         be a file of the recipe's folder, and the version is text.";
    BRACKETS = 720 "catalogue-list-text": "a category holds characters that plain lists cannot carry",
        "Lists of images separate categories by commas and lose brackets. A category with such characters does not \
         come back as it went in.";
    LIST_LINE = 721 "catalogue-list-line": "a line of a list of images cannot be read",
        "Each line of `log.txt` is `NAME_VERSION_DATE categories:A,B,` and ends with a line feed. Whoever acts on a \
         list has to have all of it, so one wrong line, or an end that is missing, refuses the whole.";
    SETTING = 750 "deployment": "a setting of the deployment file cannot be used",
        "The page about deployment files lists the keys and what they take.";
    UNKNOWN_SETTING = 751 "deployment-key": "a key of the deployment file is unknown",
        "It has no effect. A misspelt key means that the intended one is missing.";
    OLD_SETTING = 752 "config-ini": "a line of an older `config.ini` has no place in a deployment file",
        "`neurocommand config migrate` carries over what has a place, and names the rest.";
}
