//! A single HTTP request, for what has to be set up on a server: no client needed.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;

/// The head of an answer.
pub struct Head(String);

impl Head {
    /// The value of a field, whose name may be written in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.lines().filter_map(|line| line.split_once(": "));
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Head and body as they came.
    pub(crate) text: String,
}

/// Sends one request to `endpoint` (`http://host:port`).
pub(crate) fn send(
    endpoint: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let host = endpoint.trim_start_matches("http://");
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.len();
    request.push_str(&format!("Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"));
    let exchange = || {
        let mut stream = TcpStream::connect(host)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let text = exchange().unwrap_or_else(|error| panic!("{method} {endpoint}{target}: {error}"));
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, text }
}

impl Answer {
    /// The answer, if it is a success.
    pub(crate) fn expect_success(self, what: &str) -> Self {
        assert!((200..300).contains(&self.status), "{what} failed:\n{}", self.text);
        self
    }

    /// What it says before its body.
    pub(crate) fn head(&self) -> Head {
        Head(self.text.split("\r\n\r\n").next().unwrap_or_default().to_owned())
    }
}

/// The contents of all elements of this name in a document, which do not lie within each other.
pub(crate) fn elements(document: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let rest = document.split(&open).skip(1);
    rest.filter_map(|rest| rest.split_once(&close)).map(|(text, _)| text.to_owned()).collect()
}
