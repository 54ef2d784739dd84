//! Words as a shell reads them, in both directions.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

/// The word in a form that a POSIX shell reads as exactly this word.
pub(crate) fn quote(word: &OsStr, out: &mut Vec<u8>) {
    let bytes = word.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'\'');
    for byte in bytes {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
}

/// The words of a variable such as `neurodesk_singularity_opts`, with quotes and backslashes as a
/// shell reads them. Nothing is expanded. When the quotes do not balance, the text is only divided
/// at white space, as upstream's wrappers do.
pub(crate) fn words(text: &OsStr) -> Vec<OsString> {
    quoted_words(text.as_bytes()).unwrap_or_else(|| {
        text.as_bytes()
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .map(|word| OsStr::from_bytes(word).to_owned())
            .collect()
    })
}

fn quoted_words(text: &[u8]) -> Option<Vec<OsString>> {
    let mut found = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match *bytes.next()? {
                        b'\'' => break,
                        byte => word.push(byte),
                    }
                }
            }
            b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match *bytes.next()? {
                        b'"' => break,
                        b'\\' => match *bytes.next()? {
                            byte @ (b'"' | b'\\' | b'$' | b'`') => word.push(byte),
                            byte => word.extend([b'\\', byte]),
                        },
                        byte => word.push(byte),
                    }
                }
            }
            b'\\' => word.get_or_insert_default().push(*bytes.next()?),
            byte if byte.is_ascii_whitespace() => {
                found.extend(word.take().map(OsString::from_vec));
            }
            byte => word.get_or_insert_default().push(byte),
        }
    }
    found.extend(word.map(OsString::from_vec));
    Some(found)
}

#[cfg(test)]
mod tests {
    //! Both directions.

    use super::*;

    fn read(text: &str) -> Vec<String> {
        words(OsStr::new(text))
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn reads_words_as_a_shell_does() {
        assert_eq!(
            read("  --nv --overlay /tmp/x "),
            ["--nv", "--overlay", "/tmp/x"]
        );
        assert_eq!(
            read("--bind \"/a b:/c\" 'd e'f\\ g ''"),
            ["--bind", "/a b:/c", "d ef g", ""]
        );
        assert_eq!(read("it's --nv"), ["it's", "--nv"]);
        assert!(read(" \t").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn quoted_words_read_back(word: Vec<u8>) {
            let word = OsString::from_vec(word.into_iter().filter(|b| *b != 0).collect());
            let mut out = Vec::new();
            quote(&word, &mut out);
            proptest::prop_assert_eq!(words(OsStr::from_bytes(&out)), [word]);
        }
    }
}
