//! Rust text made fit for rules: comments and literals blanked, tests marked.

use std::collections::BTreeSet;

use super::Text;

/// A Rust file.
pub(super) struct Source {
    pub(super) path: String,
    /// As written.
    pub(super) text: String,
    /// As written, but each character of a comment or inside a literal is a space. Same lines.
    pub(super) code: String,
    /// For each line: whether it belongs to a test.
    pub(super) test: Vec<bool>,
}

impl Source {
    /// A file alone, as samples need it.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        let whole = ["/tests/", "/benches/"].iter().any(|dir| path.contains(dir));
        let mut test = vec![whole; code.lines().count()];
        for (first, last) in test_items(&code) {
            test[first..=last].fill(true);
        }
        Self { path: path.to_owned(), text: text.to_owned(), code, test }
    }

    /// The numbered lines of code outside tests, from 1.
    pub(super) fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines(false)
    }

    /// The numbered lines of code of tests, from 1.
    pub(super) fn tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines(true)
    }

    fn lines(&self, test: bool) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.lines().zip(&self.test).enumerate();
        lines.filter(move |(_, (_, is))| **is == test).map(|(i, (line, _))| (i + 1, line))
    }
}

/// All files, with those that are modules of tests (`#[cfg(test)] mod cells;`) marked whole.
pub(super) fn sources(texts: Vec<Text>) -> Vec<Source> {
    let mut sources: Vec<Source> =
        texts.iter().map(|file| Source::new(&file.path, &file.text)).collect();
    let mut roots = BTreeSet::new();
    for source in &sources {
        for name in test_modules(source) {
            roots.insert(folder_of_modules(&source.path) + "/" + &name);
        }
    }
    for source in &mut sources {
        let module = source.path.trim_end_matches(".rs");
        if roots.iter().any(|root| module == root || module.starts_with(&format!("{root}/"))) {
            source.test.fill(true);
        }
    }
    sources
}

/// Where the modules that a file declares lie.
fn folder_of_modules(path: &str) -> String {
    let path = path.trim_end_matches(".rs");
    match path.rsplit_once('/') {
        Some((folder, "lib" | "main" | "mod")) => folder.to_owned(),
        Some(_) | None => path.to_owned(),
    }
}

fn test_modules(source: &Source) -> Vec<String> {
    let declared = source.code.lines().zip(&source.test).filter(|(_, test)| **test);
    declared
        .filter_map(|(line, _)| {
            let line = line.trim().strip_suffix(';')?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [.., "mod", name] => Some(name.to_owned()),
                _ => None,
            }
        })
        .collect()
}

/// The first and last line (from 0) of each item under `#[cfg(test)]` or `#[test]`.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    for attribute in ["#[cfg(test", "#[cfg(all(test", "#[test]", "#[tokio::test"] {
        let mut from = 0;
        while let Some(at) = code[from..].find(attribute).map(|at| at + from) {
            let end = end_of_item(code, at);
            items.push((line_of(code, at), line_of(code, end)));
            from = at + attribute.len();
        }
    }
    items
}

/// The `;` or closing brace that ends the item at `start`; attributes count to it.
fn end_of_item(code: &str, start: usize) -> usize {
    let mut round: i32 = 0;
    for (at, c) in code[start..].char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            ';' if round == 0 => return start + at,
            '{' if round == 0 => return closing_brace(code, start + at),
            _ => {}
        }
    }
    code.len().saturating_sub(1)
}

/// The brace that closes the one at `open`.
fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth: i32 = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at;
        }
    }
    code.len().saturating_sub(1)
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count()
}

/// A function with its length in lines, signature and braces included.
pub(super) struct Function {
    pub(super) name: String,
    /// From 1.
    pub(super) line: usize,
    pub(super) lines: usize,
}

/// The functions that have a body.
pub(super) fn functions(code: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let name: String =
            code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let end = end_of_item(code, at);
        if name.is_empty() || !code[end..].starts_with('}') {
            continue;
        }
        let (first, last) = (line_of(code, at), line_of(code, end));
        functions.push(Function { name, line: first + 1, lines: last - first + 1 });
    }
    functions
}

/// Blanks comments and the insides of literals. Lengths in bytes stay, so offsets do.
pub(super) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let joined = i > 0 && (bytes[i - 1].is_ascii_alphanumeric() || bytes[i - 1] == b'_');
        let (skip, length) = if rest.starts_with(b"//") {
            (0, rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()))
        } else if rest.starts_with(b"/*") {
            (0, block_comment(rest))
        } else if let Some(length) = raw_string(rest).filter(|_| !joined) {
            (0, length)
        } else if rest[0] == b'"' {
            (1, quoted(rest, b'"'))
        } else if rest[0] == b'\'' && is_char(rest) {
            (1, quoted(rest, b'\''))
        } else {
            i += 1;
            continue;
        };
        // The quotes of a plain literal stay, so that it is still seen to be one.
        for b in &mut out[i + skip..i + length - skip] {
            if *b != b'\n' {
                *b = b' ';
            }
        }
        i += length;
    }
    String::from_utf8(out).expect("whole characters were replaced")
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < rest.len() {
        if rest[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if rest[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    rest.len()
}

/// The length of `r"…"`, `r#"…"#`, `br#"…"#`, if one starts here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = if rest.starts_with(b"br") { 2 } else { usize::from(rest[0] == b'r') };
    if prefix == 0 {
        return None;
    }
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let close = [b"\"", "#".repeat(hashes).as_bytes()].concat();
    let body = &rest[open + 1..];
    let end = body.windows(close.len()).position(|w| w == close)?;
    Some(open + 1 + end + close.len())
}

/// The length of a literal with escapes, quotes included.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut i = 1;
    while i < rest.len() {
        match rest[i] {
            b'\\' => i += 2,
            b if b == quote => return i + 1,
            _ => i += 1,
        }
    }
    rest.len()
}

/// Tells `'a'` from the lifetime `'a`.
fn is_char(rest: &[u8]) -> bool {
    let Some(text) = rest.get(1..).and_then(|r| {
        std::str::from_utf8(&r[..r.len().min(8)]).ok().or(
            // Eight bytes may end within a character; the first one is all that counts.
            r.utf8_chunks().next().map(|chunk| chunk.valid()),
        )
    }) else {
        return false;
    };
    let mut chars = text.chars();
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[test]
fn comments_and_literals_are_blanked_and_offsets_stay() {
    let text =
        "let a = \"fn x() {\"; // }}\nlet b = r#\"\"{\"#; /* { /* { */ } */ let c: &'a str = '{';";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    assert!(!code.contains('{') && !code.contains('}'), "{code}");
    assert!(code.contains("&'a str"), "{code}");
}

#[test]
fn tests_are_told_from_the_product() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
    let source = Source::new("crates/x/src/y.rs", text);
    let product: Vec<usize> = source.product().map(|(line, _)| line).collect();
    assert_eq!(product, [1, 6]);
    assert_eq!(Source::new("crates/x/tests/it/y.rs", text).product().count(), 0);
}

#[test]
fn a_file_that_is_a_module_of_tests_is_a_test() {
    let file = |path: &str, text: &str| Text { path: path.to_owned(), text: text.to_owned() };
    let sources = sources(vec![
        file("crates/x/src/y.rs", "#[cfg(test)]\nmod cells;\nmod other;\n"),
        file("crates/x/src/y/cells.rs", "fn a() {}\n"),
        file("crates/x/src/y/other.rs", "fn a() {}\n"),
    ]);
    let product: Vec<usize> = sources.iter().map(|s| s.product().count()).collect();
    assert_eq!(product, [1, 0, 1]);
}

#[test]
fn functions_are_measured_from_signature_to_brace() {
    let code = "fn a(x: [u8; 2])\n-> u8 {\n    if true { 1 } else { 2 }\n}\ntrait T { fn b(); }\n";
    let found = functions(code);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].line, found[0].lines), ("a", 1, 4));
}
