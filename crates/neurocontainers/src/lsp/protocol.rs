//! Messages of JSON-RPC with the headers that language servers use.

use std::io::{self, BufRead, Read as _, Write};

use serde_json::{Value, json};

/// Bytes that a message may have.
const LIMIT: u64 = 64 << 20;
/// Bytes that the headers of a message may have.
const HEADER_LIMIT: u64 = 8 << 10;

/// Why a request gets no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// The message is no JSON.
    Syntax,
    /// The method is not known.
    Method,
}

/// The next message, `None` at the end of the stream.
pub(super) fn read(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut length = None;
    let mut headers = input.by_ref().take(HEADER_LIMIT);
    let mut line = String::new();
    loop {
        line.clear();
        if headers.read_line(&mut line)? == 0 {
            return if length.is_none() && line.is_empty() && headers.limit() > 0 {
                Ok(None)
            } else {
                Err(invalid("the headers of a message do not end"))
            };
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<u64>().ok();
        }
    }
    let length = length.filter(|length| *length <= LIMIT);
    let length = length.ok_or_else(|| invalid("a message has no usable length"))?;
    let mut text = Vec::new();
    if input.by_ref().take(length).read_to_end(&mut text)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(text))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Answers a request.
pub(super) fn answer(
    output: &mut impl Write,
    id: &Value,
    result: Result<Value, Problem>,
) -> io::Result<()> {
    let message = match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(problem) => {
            let (code, message) = match problem {
                Problem::Syntax => (-32700, "no JSON"),
                Problem::Method => (-32601, "unknown method"),
            };
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        }
    };
    write(output, &message)
}

/// Tells the client something.
pub(super) fn notify(output: &mut impl Write, method: &str, params: &Value) -> io::Result<()> {
    write(
        output,
        &json!({"jsonrpc": "2.0", "method": method, "params": params}),
    )
}

fn write(output: &mut impl Write, message: &Value) -> io::Result<()> {
    let text = message.to_string();
    write!(output, "Content-Length: {}\r\n\r\n{text}", text.len())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_a_length_and_an_end() {
        let mut input = io::Cursor::new(
            b"Content-Type: x\r\ncontent-length: 2\r\n\r\n{}Content-Length: 9\r\n\r\n{}".to_vec(),
        );
        assert_eq!(read(&mut input).unwrap(), Some(b"{}".to_vec()));
        assert_eq!(
            read(&mut input).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(read(&mut io::empty()).unwrap(), None);
        for bad in [
            "Content-Length: 99999999999999\r\n\r\n",
            "X: y\r\n\r\n",
            "Content-Length: 3\r\n",
        ] {
            assert!(read(&mut bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(&mut "x".repeat(100_000).as_bytes()).is_err());
    }
}
