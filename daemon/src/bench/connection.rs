//! A kept-alive HTTP/1.1 connection that costs little: what is measured is the server.
//!
//! Called by `catalog` and `http`. It knows answers with a Content-Length alone, which is what reeld and
//! nginx give for lists and files. Bodies are read and thrown away.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

/// For one read or write.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of a body taken from the socket at a time.
const READ_BYTES: usize = 256 * 1024;

/// The longest head of an answer.
const HEAD_BYTES: usize = 16 * 1024;

/// An open connection.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Sent with each request: whole lines.
    headers: String,
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Of the body.
    pub(super) bytes: u64,
}

impl Connection {
    /// Connects; `headers` are whole lines, each with its CRLF.
    pub(super) fn open(to: SocketAddr, headers: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: vec![0; READ_BYTES],
            headers: format!("Host: {to}\r\n{headers}\r\n"),
        })
    }

    /// Asks and reads the whole answer.
    pub(super) fn ask(&mut self, method: &str, target: &str) -> anyhow::Result<Answer> {
        let request = format!("{method} {target} HTTP/1.1\r\n{}", self.headers);
        self.stream.write_all(request.as_bytes())?;
        let mut filled = 0;
        let end = loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            ensure!(
                read > 0,
                "{target}: the connection ended in an answer's head"
            );
            filled += read;
            if let Some(end) = end_of_head(&self.buffer[..filled]) {
                break end;
            }
            ensure!(filled < HEAD_BYTES, "{target}: an answer's head has no end");
        };
        let (status, length) = read_head(&self.buffer[..end]).with_context(|| target.to_owned())?;
        let mut left = length
            .checked_sub((filled - end) as u64)
            .with_context(|| format!("{target}: more came than was said"))?;
        while left > 0 {
            let most = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let read = self.stream.read(&mut self.buffer[..most])?;
            ensure!(read > 0, "{target}: the connection ended in a body");
            left -= read as u64;
        }
        Ok(Answer {
            status,
            bytes: length,
        })
    }

    /// Asks for what is there.
    pub(super) fn get(&mut self, target: &str) -> anyhow::Result<u64> {
        let answer = self.ask("GET", target)?;
        if answer.status != 200 {
            bail!("{target} answered {}, not 200", answer.status);
        }
        Ok(answer.bytes)
    }
}

/// Where the body begins.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(at + 4)
}

/// Status and length of the body.
fn read_head(head: &[u8]) -> anyhow::Result<(u16, u64)> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status: u16 = status.context("no status line")?.parse()?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = match length {
        Some((_, length)) => length.trim().parse()?,
        None if status == 204 => 0,
        None => bail!("an answer without a length: {head}"),
    };
    Ok((status, length))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn answers_are_read_to_their_end_and_the_connection_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            for body in [vec![7; 600_000], vec![8; 3]] {
                let mut request = [0; 1_024];
                let read = stream.read(&mut request).unwrap();
                asked.push(String::from_utf8_lossy(&request[..read]).into_owned());
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&body).unwrap();
            }
            let _ = stream.read(&mut [0; 1_024]).unwrap();
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .unwrap();
            asked
        });
        let mut connection = Connection::open(to, "X: y\r\n").unwrap();
        assert_eq!(connection.get("/a").unwrap(), 600_000);
        assert_eq!(connection.get("/b").unwrap(), 3);
        let gone = connection.ask("DELETE", "/b").unwrap();
        assert_eq!((gone.status, gone.bytes), (204, 0));
        let asked = server.join().unwrap();
        assert_eq!(
            asked[1],
            format!("GET /b HTTP/1.1\r\nHost: {to}\r\nX: y\r\n\r\n")
        );
    }

    #[test]
    fn an_answer_without_a_length_is_an_error() {
        assert!(read_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(read_head(b"nonsense\r\n\r\n").is_err());
    }
}
