//! From the text of a file to its tables: which keys stand where, on which lines. What they mean is
//! [`super::resolve`]'s to say.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::given::Given;
use super::route_keys;
use super::server_keys;
use crate::cli::suggest::nearest;

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// With the names of its tables within the section: `fingerprint.exclude`.
    pub name: String,
    pub value: Given,
    pub line: usize,
}

/// The keys of one section.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub entries: Vec<Entry>,
    /// Where it begins; 0 where the file has none.
    pub line: usize,
}

impl Table {
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// A file that was read; every key in it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub server: Table,
    pub defaults: Table,
    pub routes: Vec<Table>,
}

/// What stands in `[[route]]` beside the rules that it sets.
pub(super) const MATCHING: [&str; 2] = ["path", "match_methods"];

/// The tables within a section.
const GROUPS: [&str; 5] = ["fingerprint", "cors", "grpc", "reconcile", "quota"];

const SECTIONS: [&str; 3] = ["server", "defaults", "route"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Server,
    Defaults,
    Route,
}

impl Section {
    const fn header(self) -> &'static str {
        match self {
            Self::Server => "[server]",
            Self::Defaults => "[defaults]",
            Self::Route => "[[route]]",
        }
    }

    fn knows(self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    fn names(self) -> Box<dyn Iterator<Item = &'static str>> {
        let rules = || route_keys::all().map(|key| key.name);
        match self {
            Self::Server => Box::new(server_keys::all().map(|key| key.name)),
            Self::Defaults => Box::new(rules()),
            Self::Route => Box::new(MATCHING.into_iter().chain(rules())),
        }
    }
}

/// Reads a file whole, and says all that cannot be understood in it.
pub(super) fn parse(text: &str) -> (File, Vec<Fault>) {
    let mut reader = Reader { text, faults: Vec::new() };
    let mut file = File::default();
    match DeTable::parse(text) {
        Ok(root) => reader.sections(root.get_ref(), &mut file),
        Err(error) => {
            let line = error.span().map_or(1, |span| reader.line(&span));
            let why = error.message().lines().collect::<Vec<_>>().join(", ");
            reader.fault(line, "", format!("it is no TOML: {why}"));
        }
    }
    (file, reader.faults)
}

struct Reader<'a> {
    text: &'a str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        before.bytes().filter(|byte| *byte == b'\n').count() + 1
    }

    fn fault(&mut self, line: usize, key: &str, why: impl Into<String>) {
        self.faults.push(Fault { line, key: key.to_owned(), why: why.into() });
    }

    fn sections(&mut self, root: &DeTable<'_>, file: &mut File) {
        for (name, value) in root.iter() {
            let (line, name) = (self.line(&name.span()), name.get_ref().as_ref());
            match (name, value.get_ref()) {
                ("server", DeValue::Table(table)) => {
                    file.server = self.table(Section::Server, table, line);
                }
                ("defaults", DeValue::Table(table)) => {
                    file.defaults = self.table(Section::Defaults, table, line);
                }
                ("route", DeValue::Array(list)) => {
                    file.routes = list.iter().map(|one| self.route(one)).collect();
                }
                ("route", DeValue::Table(_)) => {
                    self.fault(line, "[route]", "each route is one of many; write [[route]]");
                }
                ("server" | "defaults", _) => {
                    self.fault(line, name, format!("it is a section; write [{name}]"));
                }
                _ => self.unknown_section(line, name),
            }
        }
        // The parser keeps tables by name, the file has them by line.
        self.faults.sort();
    }

    fn unknown_section(&mut self, line: usize, name: &str) {
        let holds = [Section::Server, Section::Defaults].into_iter().find(|s| s.knows(name));
        let why = match (holds, nearest(name, SECTIONS)) {
            (Some(section), _) => format!("it belongs under {}", section.header()),
            (None, Some("route")) => "there is no such section; did you mean [[route]]?".to_owned(),
            (None, Some(near)) => format!("there is no such section; did you mean [{near}]?"),
            (None, None) => {
                "there is no such section; the sections are [server], [defaults] and [[route]]"
                    .to_owned()
            }
        };
        self.fault(line, name, why);
    }

    fn route(&mut self, one: &Spanned<DeValue<'_>>) -> Table {
        let line = self.line(&one.span());
        match one.get_ref() {
            DeValue::Table(table) => self.table(Section::Route, table, line),
            _ => {
                self.fault(line, "route", "each route is a table; write [[route]]");
                Table::default()
            }
        }
    }

    fn table(&mut self, section: Section, table: &DeTable<'_>, line: usize) -> Table {
        let mut read = Table { entries: Vec::new(), line };
        self.entries(section, table, "", &mut read);
        read.entries.sort_by_key(|entry| entry.line);
        read
    }

    fn entries(&mut self, section: Section, table: &DeTable<'_>, within: &str, read: &mut Table) {
        for (key, value) in table.iter() {
            let (line, name) = (self.line(&key.span()), format!("{within}{}", key.get_ref()));
            match value.get_ref() {
                DeValue::Table(inner) if GROUPS.contains(&name.as_str()) => {
                    self.entries(section, inner, &format!("{name}."), read);
                }
                value if section.knows(&name) => {
                    read.entries.push(Entry { name, value: Given::of(value), line });
                }
                _ => self.unknown_key(section, line, &name),
            }
        }
    }

    fn unknown_key(&mut self, section: Section, line: usize, name: &str) {
        let header = section.header();
        let elsewhere = [Section::Server, Section::Defaults, Section::Route]
            .into_iter()
            .find(|other| *other != section && other.knows(name));
        // Also by its last part: `exclude` means `fingerprint.exclude`.
        let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
        let near = nearest(name, section.names())
            .or_else(|| section.names().find(|known| nearest(name, [last(known)]).is_some()));
        let secret = ["token", "password", "secret"].iter().any(|word| name.contains(word));
        let why = match (elsewhere, near) {
            (Some(other), _) => format!("it belongs under {}, not {header}", other.header()),
            // `quota = "1000/1h"`: a group, and nothing by itself.
            (None, _) if GROUPS.contains(&name) => {
                let parts: Vec<_> =
                    section.names().filter(|n| n.split('.').next() == Some(name)).collect();
                format!("it is a group of keys; name the one that is meant: {}", parts.join(", "))
            }
            (None, Some(near)) if secret => format!(
                "{header} has no such key, and no secret stands in this file: `{near}` names the file that holds it"
            ),
            (None, Some(near)) => format!("{header} has no such key; did you mean `{near}`?"),
            (None, None) => format!("{header} has no such key"),
        };
        self.fault(line, name, why);
    }
}
