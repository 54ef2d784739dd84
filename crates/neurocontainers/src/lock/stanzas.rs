//! Stanzas of Debian's control files (`deb-control(5)`): the database of `dpkg`, lists of packages,
//! statements of archives.

use std::io::{self, BufRead};

/// Longest line that is looked at; the rest of longer ones is passed over.
const LINE_LIMIT: usize = 1 << 20;

/// Calls `take` with the wanted single-line fields of each stanza, in the order of `names`.
pub(super) fn stanzas<const N: usize>(
    mut input: impl BufRead,
    names: [&str; N],
    mut take: impl FnMut([Option<&str>; N]),
) -> io::Result<()> {
    let mut values: [Option<String>; N] = std::array::from_fn(|_| None);
    let mut any = false;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = read_line(&mut input, &mut line)?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            if any {
                take(std::array::from_fn(|at| values[at].as_deref()));
            }
            values = std::array::from_fn(|_| None);
            any = false;
            if read == 0 {
                return Ok(());
            }
            continue;
        }
        any = true;
        if text.starts_with([' ', '\t']) {
            continue;
        }
        if let Some((name, value)) = text.split_once(':')
            && let Some(at) = names
                .iter()
                .position(|wanted| wanted.eq_ignore_ascii_case(name))
        {
            values[at] = Some(value.trim().to_owned());
        }
    }
}

/// Reads a line with at most [`LINE_LIMIT`] bytes of it; gives how many bytes there were.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut read = 0;
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(read);
        }
        let end = buffer.iter().position(|&b| b == b'\n');
        let taken = end.map_or(buffer.len(), |at| at + 1);
        let room = LINE_LIMIT.saturating_sub(line.len()).min(taken);
        line.extend_from_slice(&buffer[..room]);
        input.consume(taken);
        read += taken;
        if end.is_some() {
            return Ok(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_stanza_are_found_and_continuations_are_not() {
        let text =
            "Package: a\nVersion: 1\nDescription: x\n Version: 9\n\n\nVersion: 2\npackage: b";
        let mut found = Vec::new();
        stanzas(
            text.as_bytes(),
            ["Package", "Version"],
            |[name, version]| {
                found.push(format!("{} {}", name.unwrap(), version.unwrap()));
            },
        )
        .unwrap();
        assert_eq!(found, ["a 1", "b 2"]);
        let long = format!("A: {}\nPackage: c\n", "x".repeat(3 << 20));
        let mut names = Vec::new();
        stanzas(long.as_bytes(), ["Package"], |[name]| {
            names.push(name.map(str::to_owned));
        })
        .unwrap();
        assert_eq!(names, [Some("c".to_owned())]);
    }
}
