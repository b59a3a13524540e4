//! An upstream that keeps every byte and reads it twice: strictly as it comes, and leniently afterwards, as
//! the servers do that smuggling lives on. What the gateway sends must read alike.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What came on one connection.
#[derive(Clone, Debug, Default)]
struct Heard {
    bytes: Vec<u8>,
    strictly: Vec<String>,
    /// Bytes of the requests that were read.
    understood: usize,
}

#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) addr: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Recorder {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(vec![]));
        let all = Arc::clone(&heard);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let at = {
                    let mut all = all.lock().unwrap();
                    all.push(Heard::default());
                    all.len() - 1
                };
                tokio::spawn(record(stream, Arc::clone(&all), at));
            }
        });
        Self { addr, heard, accepting }
    }

    /// All requests so far, as `METHOD TARGET BODY`, after checking that both readings agree. Of the last one
    /// on a connection a part may be missing: a request that its caller broke off.
    pub(super) fn requests(&self) -> Result<Vec<String>, String> {
        let heard = self.heard.lock().unwrap().clone();
        for one in &heard {
            let (leniently, read) = read_all(&one.bytes, lenient);
            let shown = String::from_utf8_lossy(&one.bytes);
            if one.strictly != leniently || one.understood != read {
                return Err(format!("the two readings differ: {shown}"));
            }
        }
        Ok(heard.into_iter().flat_map(|one| one.strictly).collect())
    }

    pub(super) fn forget(&self) {
        for one in self.heard.lock().unwrap().iter_mut() {
            let rest = one.bytes.split_off(one.understood);
            *one = Heard { bytes: rest, ..Heard::default() };
        }
    }
}

async fn record(mut stream: TcpStream, all: Arc<Mutex<Vec<Heard>>>, at: usize) {
    let mut chunk = [0; 4096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut chunk).await else { return };
        let answers = {
            let mut all = all.lock().unwrap();
            let one = &mut all[at];
            one.bytes.extend_from_slice(&chunk[..read]);
            let (requests, understood) = read_all(&one.bytes, strict);
            let new = requests.len() - one.strictly.len();
            (one.strictly, one.understood) = (requests, understood);
            new
        };
        for _ in 0..answers {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

type Read = fn(&[u8]) -> Option<(String, usize)>;

fn read_all(bytes: &[u8], read: Read) -> (Vec<String>, usize) {
    let (mut all, mut at) = (vec![], 0);
    while let Some((request, len)) = read(&bytes[at..]) {
        all.push(request);
        at += len;
    }
    (all, at)
}

/// By the letter of RFC 9112: anything else is a panic, and so a failure of the test.
fn strict(bytes: &[u8]) -> Option<(String, usize)> {
    let end = find(bytes, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
    assert!(
        !head.replace("\r\n", "").contains(['\r', '\n', '\0']),
        "a bare CR, LF or NUL: {head:?}"
    );
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let [method, target, "HTTP/1.1"] = first[..] else { panic!("no request line: {first:?}") };
    assert!(target.starts_with('/') || target == "*", "{target}");
    let (mut length, mut chunked, mut hosts) = (None, false, 0);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line:?}"));
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        assert!(!name.is_empty() && name.chars().all(token), "no name of a field: {line:?}");
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                assert!(
                    length.is_none() && value.trim().bytes().all(|b| b.is_ascii_digit()),
                    "{head}"
                );
                length = Some(value.trim().parse::<usize>().unwrap());
            }
            "transfer-encoding" => {
                assert!(!chunked && value.trim() == "chunked", "{head}");
                chunked = true;
            }
            "host" => hosts += 1,
            _ => {}
        }
    }
    assert_eq!(hosts, 1, "{head}");
    assert!(length.is_none() || !chunked, "two framings at once: {head}");
    let (body, len) = match (chunked, length) {
        (true, _) => chunks(&bytes[end..])?,
        (false, length) => {
            let length = length.unwrap_or(0);
            (bytes.get(end..end + length)?.to_vec(), length)
        }
    };
    Some((format!("{method} {target} {}", String::from_utf8_lossy(&body)), end + len))
}

/// As servers read that forgive too much: a line may end in LF alone, a length counts before chunks, the first
/// of several lengths counts, and any coding whose name has `chunked` in it is chunked.
fn lenient(bytes: &[u8]) -> Option<(String, usize)> {
    let text: Vec<u8> = bytes.to_vec();
    let end = [find(&text, b"\r\n\r\n").map(|at| at + 4), find(&text, b"\n\n").map(|at| at + 2)];
    let end = end.into_iter().flatten().min()?;
    let head = String::from_utf8_lossy(&text[..end]).into_owned();
    let mut lines = head.split('\n').map(|line| line.trim_end_matches('\r'));
    let first: Vec<&str> = lines.next()?.split_ascii_whitespace().collect();
    let value = |wanted: &str| {
        head.split('\n').filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.trim()
                .replace('_', "-")
                .eq_ignore_ascii_case(wanted)
                .then(|| value.trim().to_owned())
        })
    };
    let length =
        value("content-length").map(|v| v.trim_matches(|c: char| !c.is_ascii_digit()).to_owned());
    let chunked = value("transfer-encoding").is_some_and(|v| v.to_lowercase().contains("chunked"));
    let (body, len) = match (length.and_then(|v| v.parse::<usize>().ok()), chunked) {
        (Some(length), _) => (text.get(end..end + length)?.to_vec(), length),
        (None, true) => chunks(&text[end..])?,
        (None, false) => (vec![], 0),
    };
    let (method, target) = (first.first()?, first.get(1)?);
    Some((format!("{method} {target} {}", String::from_utf8_lossy(&body)), end + len))
}

fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (vec![], 0);
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("no size: {size:?}"));
        at += line + 2;
        if size == 0 {
            let end = find(&bytes[at - 2..], b"\r\n\r\n")?;
            return Some((body, at - 2 + end + 4));
        }
        body.extend_from_slice(bytes.get(at..at + size)?);
        assert_eq!(bytes.get(at + size..at + size + 2)?, b"\r\n", "a chunk ends with its line");
        at += size + 2;
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}
