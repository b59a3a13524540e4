//! A request, and how it is written: to a socket, and as a `curl` command for people.

use bytes::Bytes;

use super::Address;

/// A request of which every byte is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As written.
    pub method: String,
    /// Path and query, as written.
    pub path: String,
    /// Names and values, in the order that they are written. `Host`, `Content-Length` and
    /// `Connection` are added at the time of writing unless they are here.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Bytes,
}

impl Request {
    /// Without headers and body.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// One more header line, whether or not there is one of that name.
    #[must_use]
    pub fn add(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Without any header of that name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// One header line in place of all of that name.
    #[must_use]
    pub fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).add(name, value)
    }

    /// With another body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With another path and query.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut named = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_slice())
    }

    /// As bytes, with `Host: host` and a `Content-Length` unless there are such headers.
    #[must_use]
    pub fn bytes(&self, host: &str) -> Vec<u8> {
        let mut out = self.head(host);
        out.extend_from_slice(&self.body);
        out
    }

    /// The head alone, with the empty line that ends it.
    #[must_use]
    pub fn head(&self, host: &str) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        if self.header("host").is_none() {
            out.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        if self.wants_length() {
            out.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// Whether its length has to be told: it has a body or may have one, and does not say where that ends.
    pub(super) fn wants_length(&self) -> bool {
        let framed =
            self.header("content-length").is_some() || self.header("transfer-encoding").is_some();
        let bodiless = matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE");
        !(framed || bodiless && self.body.is_empty())
    }

    /// The command that sends the same, for a shell, to that target. The value of a header that is secret is left
    /// to a variable of the shell.
    #[must_use]
    pub fn curl(&self, to: &Address, secrets: &[Secret]) -> String {
        let mut out = format!("curl -i{}", to.curl());
        if self.method != "GET" {
            out.push_str(&format!(" -X {}", self.method));
        }
        for (name, value) in &self.headers {
            let held = |secret: &&Secret| {
                secret.name.eq_ignore_ascii_case(name) && secret.value.as_bytes() == value
            };
            if let Some(secret) = secrets.iter().find(held) {
                out.push_str(&format!(" -H \"{name}: ${}\"", secret.variable));
                continue;
            }
            let value = String::from_utf8_lossy(value);
            // curl reads "name;" as a header with an empty value.
            let line =
                if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
            out.push_str(&format!(" -H {}", quoted(&line)));
        }
        if !self.body.is_empty() {
            out.push_str(&format!(" --data-binary {}", body(&self.body)));
        }
        out.push_str(&format!(" {}", quoted(&format!("{}{}", to.base(), self.path))));
        out
    }
}

/// A header whose value no report shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The header.
    pub name: String,
    /// What is not shown.
    pub value: String,
    /// What stands in its place.
    pub variable: String,
}

impl Secret {
    /// A header of `who`: `TENANT_A` and `X-Api-Key` make `TENANT_A_X_API_KEY`.
    #[must_use]
    pub fn of(who: &str, name: &str, value: &str) -> Self {
        let of_shell =
            |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let variable = format!("{who}_{}", name.chars().map(of_shell).collect::<String>());
        Self { name: name.to_owned(), value: value.to_owned(), variable }
    }
}

/// Characters of a body that are shown whole.
const CURL_BODY_MAX: usize = 2_000;
/// One letter so many times or more is written as a command that makes it.
const RUN_MIN: usize = 200;

/// A body as a shell makes it.
fn body(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut out = String::new();
    let mut rest = &*text;
    let mut plain = String::new();
    while let Some(first) = rest.chars().next() {
        let tail = rest.trim_start_matches(first);
        let run = rest.strip_suffix(tail).unwrap_or(rest);
        rest = tail;
        let times = run.chars().count();
        if times >= RUN_MIN && first.is_ascii_alphanumeric() {
            out.push_str(&quoted(&std::mem::take(&mut plain)));
            out.push_str(&format!("\"$(printf '{first}%.0s' $(seq {times}))\""));
        } else {
            plain.push_str(run);
        }
    }
    out.push_str(&quoted(&plain));
    if out.chars().count() > CURL_BODY_MAX {
        let head: String = text.chars().take(80).collect();
        return quoted(&format!("{head}… ({} bytes)", body.len()));
    }
    out
}

/// In single quotes, as a POSIX shell reads them.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there() -> Address {
        Address::parse("http://h").unwrap()
    }

    #[test]
    fn host_and_length_are_added_unless_they_are_there() {
        let request = Request::new("POST", "/pay").add("Key", "k").body("{}");
        let text = String::from_utf8(request.bytes("a:1")).unwrap();
        assert_eq!(
            text,
            "POST /pay HTTP/1.1\r\nHost: a:1\r\nKey: k\r\nContent-Length: 2\r\n\r\n{}"
        );
        let own = Request::new("POST", "/").add("host", "b").add("Transfer-Encoding", "chunked");
        assert_eq!(
            own.head("a"),
            b"POST / HTTP/1.1\r\nhost: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let get = Request::new("GET", "/").head("a");
        assert_eq!(get, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }

    #[test]
    fn a_long_body_is_written_so_that_a_shell_makes_it() {
        let text = format!("{{\"pad\":\"{}\",\"it's\":1}}", "x".repeat(2_000));
        let curl = Request::new("POST", "/").body(text.clone()).curl(&there(), &[]);
        let (_, command) = curl.split_once("--data-binary ").unwrap();
        let (argument, _) = command.rsplit_once(" 'http").unwrap();
        assert!(argument.len() < 100, "{argument}");
        let script = format!("printf '%s' {argument}");
        let made = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(made.stdout).unwrap(), text);
        let noise: String = (0..3_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
        assert!(Request::new("POST", "/").body(noise).curl(&there(), &[]).contains("(3000 bytes)"));
    }

    #[test]
    fn a_curl_command_survives_quotes() {
        let request = Request::new("POST", "/p?a=b").add("Key", "it's").body("{\"a\":1}");
        let curl = request.curl(&there(), &[]);
        assert_eq!(
            curl,
            r#"curl -i -X POST -H 'Key: it'\''s' --data-binary '{"a":1}' 'http://h/p?a=b'"#
        );
    }
}
