//! A process that is put to `semel conform`, and killed, broken and mended by the tester's commands. The
//! example of a layer uses this file, too.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use semel_conform::case::{Level, Verdict};
use semel_conform::run::{Options, run};
use semel_conform::target;

use super::skips::Skip;

/// Where its records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Embedded,
}

/// The unit of time of these runs.
const UNIT: Duration = Duration::from_millis(50);

/// The process and its files. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Subject {
    dir: tempfile::TempDir,
    store: Store,
    pub(crate) addr: SocketAddr,
}

impl Subject {
    pub(crate) fn new(store: Store, addr: SocketAddr) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), store, addr }
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// What the process is told of its store.
    pub(crate) fn store(&self) -> String {
        match self.store {
            Store::Memory => "memory:".to_owned(),
            Store::Embedded => format!("embedded:{}", self.at("store")),
        }
    }

    /// Starts `program`, puts it to these cases of the target that `text` describes, and expects that
    /// each MUST and SHOULD among them holds, and that those that `skips` names are skipped and no others.
    pub(crate) async fn passes(&self, program: &str, text: &str, cases: &[&str], skips: &[Skip]) {
        let header = format!(
            "dir={}\nport={:04X}\nprogram() {{ exec {program}; }}\n",
            self.dir.path().display(),
            self.addr.port()
        );
        std::fs::write(self.at("control.sh"), header + include_str!("control.sh")).unwrap();
        assert!(shell(&self.control("start")), "it starts\n{}", self.log());
        let target = target::parse(&format!("{text}{}", self.controls())).unwrap();
        let select = cases.iter().map(|&case| case.to_owned()).collect();
        let options = Options { unit: UNIT, strict: true, select, ..Options::default() };
        let findings = run(target, options, |_| ()).await.unwrap();
        let mut allowed: BTreeMap<&str, &str> =
            skips.iter().flat_map(|(ids, why)| ids.iter().map(|id| (*id, *why))).collect();
        let mut faults = Vec::new();
        for finding in &findings.all {
            let (id, level) = (finding.case.id, finding.case.level);
            let skip = allowed.remove(id);
            match (&finding.verdict, skip) {
                (Verdict::Skipped(_), Some(_)) | (Verdict::Pass, None) => {}
                (Verdict::Skipped(why), None) => faults.push(format!("{id} is skipped: {why}")),
                (_, Some(_)) => faults.push(format!("{id} is run, and the list says it is not")),
                _ if level == Level::Info => {}
                (verdict, None) => faults.push(format!("{id}: {verdict:#?}")),
            }
        }
        faults.extend(allowed.keys().map(|id| format!("{id} is listed, and was not selected")));
        assert!(faults.is_empty(), "{}\nit said: {}", faults.join("\n"), self.log());
    }

    fn control(&self, what: &str) -> String {
        format!("sh {} {what}", self.at("control.sh"))
    }

    /// The tester's commands. What memory holds is gone with its process, so there are none for it.
    fn controls(&self) -> String {
        let names = match self.store {
            Store::Memory => return String::new(),
            Store::Embedded => [
                "kill",
                "stop",
                "start",
                "store_down",
                "store_read_only",
                "store_empty",
                "store_up",
            ],
        };
        let lines = names.map(|name| format!("{name} = '{}'\n", self.control(name)));
        format!("[control]\n{}", lines.concat())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.at("log")).unwrap_or_default()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        shell(&self.control("kill"));
    }
}

fn shell(command: &str) -> bool {
    Command::new("sh").args(["-c", command]).status().is_ok_and(|status| status.success())
}

/// Ports that nobody has: held together, so that none comes twice.
pub(crate) fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}
