//! An HTTP answer as tests judge it: whole, with whatever status it has.
//!
//! Made by [`crate::client`] out of reqwest's answers and curl's output.

use reqwest::blocking::Response;
use serde_json::Value;

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text()))
    }

    /// This answer, when it has this status.
    ///
    /// # Panics
    /// When it has another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}: {}", self.headers, self.text());
        self
    }

    /// Holds the answer to a Twilio error in JSON: this HTTP status and code. Returns its message.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: u64) -> String {
        let reply = self.expect(status);
        let json = reply.json();
        assert_eq!(json["code"].as_u64(), Some(code), "{json}");
        assert_eq!(json["status"].as_u64(), Some(u64::from(status)), "{json}");
        let link = format!("https://www.twilio.com/docs/errors/{code}");
        assert_eq!(json["more_info"].as_str(), Some(link.as_str()), "{json}");
        json["message"]
            .as_str()
            .unwrap_or_else(|| panic!("no message: {json}"))
            .to_owned()
    }

    /// A client's answer, its body read to its end.
    pub(crate) fn of_response(response: Response) -> reqwest::Result<Self> {
        let status = response.status().as_u16();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())))
            .collect();
        let body = response.bytes()?.to_vec();
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// What `curl -i` prints, taken apart; `100 Continue` is skipped.
    pub(crate) fn of_curl(mut output: &[u8]) -> Self {
        loop {
            let end = output
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
                .unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(output)));
            let head = String::from_utf8_lossy(&output[..end]).into_owned();
            output = &output[end + 4..];
            let mut lines = head.split("\r\n");
            let status = lines.next().and_then(|line| line.split(' ').nth(1));
            let status = status.and_then(|text| text.parse().ok());
            let status = status.unwrap_or_else(|| panic!("no status: {head}"));
            if status == 100 {
                continue;
            }
            let headers = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            return Self {
                status,
                headers,
                body: output.to_vec(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curls_output_is_taken_apart() {
        let output = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nAllow: GET\r\nX: a: b\r\n\r\nbody\r\n\r\nmore";
        let reply = Reply::of_curl(output);
        assert_eq!(reply.status, 404);
        assert_eq!(reply.header("allow"), Some("GET"));
        assert_eq!(reply.header("x"), Some("a: b"));
        assert_eq!(reply.body, b"body\r\n\r\nmore");
    }
}
