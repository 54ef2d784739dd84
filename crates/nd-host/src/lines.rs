//! Output of programs, line by line.

/// A longer line is handed on in pieces of this many bytes.
pub const LINE_LIMIT: usize = 64 * 1024;

/// Cuts a stream of bytes into lines. Bytes stay as they are, UTF-8 or not.
///
/// A carriage return before the newline belongs to the newline. A line longer than [`LINE_LIMIT`]
/// comes in pieces, so that a program that never ends a line cannot take all memory.
#[derive(Debug, Default)]
pub struct LineSplitter {
    held: Vec<u8>,
}

impl LineSplitter {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and hands on every line that is complete now, without its newline.
    pub fn push(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.take(line, each);
            let held = self.held.strip_suffix(b"\r").unwrap_or(&self.held);
            each(held);
            self.held.clear();
            bytes = &rest[1..];
        }
        self.take(bytes, each);
    }

    /// Hands on what stands after the last newline, if anything does.
    pub fn finish(&mut self, each: &mut dyn FnMut(&[u8])) {
        if !self.held.is_empty() {
            each(&self.held);
            self.held.clear();
        }
    }

    fn take(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        while self.held.len() + bytes.len() > LINE_LIMIT {
            let (piece, rest) = bytes.split_at(LINE_LIMIT - self.held.len());
            self.held.extend_from_slice(piece);
            each(&self.held);
            self.held.clear();
            bytes = rest;
        }
        self.held.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    //! However the bytes arrive, the lines are the same.

    use super::{LINE_LIMIT, LineSplitter};

    fn lines(bytes: &[u8], chunk: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut splitter = LineSplitter::new();
        for piece in bytes.chunks(chunk) {
            splitter.push(piece, &mut |line| out.push(line.to_vec()));
        }
        splitter.finish(&mut |line| out.push(line.to_vec()));
        out
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive() {
        let text = b"one\r\n\ntwo \xff\xfe\nlast";
        let expected = [&b"one"[..], b"", b"two \xff\xfe", b"last"];
        for chunk in 1..=text.len() {
            assert_eq!(lines(text, chunk), expected, "in pieces of {chunk}");
        }
    }

    #[test]
    fn an_endless_line_comes_in_pieces() {
        let mut text = vec![b'x'; 2 * LINE_LIMIT + 7];
        text.push(b'\n');
        for chunk in [1000, LINE_LIMIT, text.len()] {
            let sizes: Vec<_> = lines(&text, chunk).iter().map(Vec::len).collect();
            assert_eq!(sizes, [LINE_LIMIT, LINE_LIMIT, 7], "in pieces of {chunk}");
        }
    }
}
