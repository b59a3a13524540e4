//! The real `semel` process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::{DEADLINE, within};

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `semel` with these arguments to its end.
pub(crate) async fn run(args: &[&str]) -> Ended {
    let mut command = command();
    command.args(args);
    finish(command).await
}

async fn finish(mut command: Command) -> Ended {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = child.id();
    let mut output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let in_time = tokio::time::timeout(DEADLINE, &mut output).await;
    let late = in_time.is_err();
    let output = match in_time {
        Ok(output) => output,
        Err(_) => {
            send(process, Signal::KILL);
            output.await
        }
    };
    let output = output.unwrap().unwrap();
    let ended = Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert!(!late, "the command should have ended: {ended:?}");
    ended
}

fn send(process: u32, signal: Signal) {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a child has a process id"), signal).unwrap();
}

/// The binary in an environment without any `SEMEL_…` and without a terminal's colours.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semel"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEMEL_")) {
        command.env_remove(name);
    }
    // Tests of TLS say themselves whom to trust.
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Presses ctrl-C for the process.
pub(crate) fn interrupt(process: u32) {
    send(process, Signal::INT);
}

/// How to start a server.
#[derive(Debug)]
pub(crate) struct Serve(Command, Vec<tempfile::TempDir>);

/// `semel serve` before `upstream`, on free ports, in memory, with a lease of 200 ms: what a test
/// does not set itself. A flag given again by [`Serve::arg`] wins.
pub(crate) fn serve(upstream: SocketAddr) -> Serve {
    let mut command = command();
    command.args(["serve", "--upstream", &format!("http://{upstream}")]);
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--store", "memory:", "--lease", "200ms", "--store-deadline", "150ms"]);
    command.args(["--max-upstream", "100ms", "--pause", "50ms", "--connect-timeout", "500ms"]);
    command.args(["--drain", "2s"]);
    Serve(command, vec![])
}

impl Serve {
    /// A command of the test's own.
    pub(crate) fn of(command: Command) -> Self {
        Self(command, vec![])
    }

    /// By a file that says `toml`.
    #[must_use]
    pub(crate) fn file(mut self, toml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("semel.toml");
        std::fs::write(&path, toml).unwrap();
        self.0.arg("--config").arg(path);
        self.1.push(dir);
        self
    }

    /// One flag with its value.
    #[must_use]
    pub(crate) fn arg(mut self, flag: &str, value: &str) -> Self {
        self.0.args([flag, value]);
        self
    }

    /// A flag without one.
    #[must_use]
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.0.arg(flag);
        self
    }

    /// The embedded store in this directory.
    #[must_use]
    pub(crate) fn embedded(self, dir: &Path) -> Self {
        self.arg("--store", &format!("embedded:{}", dir.display()))
    }

    /// A variable of the environment.
    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Started by another program, which is to become it (`exec`) in the end: `program` gets `args`,
    /// and behind them the command.
    #[must_use]
    pub(crate) fn through(self, program: &str, args: &[&str]) -> Self {
        let mut outer = Command::new(program);
        outer.args(args).arg(self.0.get_program()).args(self.0.get_args());
        for (name, value) in self.0.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer.stdin(Stdio::null());
        Self(outer, self.1)
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn start(mut self) -> Semel {
        let mut child = self.0.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, seen) = watch::channel(Said::default());
        let stderr = child.stderr.take().expect("stderr is piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.send_modify(|said| said.lines.push(line));
            }
            lines.send_modify(|said| said.ended = true);
        });
        let mut semel =
            Semel { child, said: seen, addr: nowhere(), admin: nowhere(), files: self.1 };
        semel.addr = semel.address("listening on ").await;
        semel.admin = semel.address("admin on ").await;
        semel
    }

    /// Starts it where it must refuse, and returns how it ended.
    pub(crate) async fn refused(self) -> Ended {
        finish(self.0).await
    }
}

fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    ended: bool,
}

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Semel {
    child: Child,
    said: watch::Receiver<Said>,
    /// What it was configured by.
    files: Vec<tempfile::TempDir>,
    /// Where it serves.
    pub(crate) addr: SocketAddr,
    /// Where its admin listener is.
    pub(crate) admin: SocketAddr,
}

impl Semel {
    /// Waits for a line on stderr that holds `part`, and returns it.
    pub(crate) async fn says(&self, part: &str) -> String {
        let mut said = self.said.clone();
        within(&format!("semel says {part:?}"), async {
            loop {
                {
                    let now = said.borrow_and_update();
                    if let Some(line) = now.lines.iter().find(|line| line.contains(part)) {
                        return line.clone();
                    }
                    assert!(!now.ended, "semel ended without {part:?}: {:#?}", now.lines);
                }
                said.changed().await.expect("the reader lives as long as the process");
            }
        })
        .await
    }

    /// All that it has said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.said.borrow().lines.join("\n")
    }

    async fn address(&self, label: &str) -> SocketAddr {
        let line = self.says(label).await;
        let (_, rest) = line.split_once(label).expect("the label was found");
        let (_, rest) = rest.split_once("://").expect("an address is a URL");
        let address: String = rest.chars().take_while(|c| !c.is_whitespace()).collect();
        address.trim_end_matches('/').parse().unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, as a lost machine; returns when the process is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().unwrap();
        self.wait().await;
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// SIGTERM; returns how it ended.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait().await
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        let mut said = self.said.clone();
        within("semel ends", said.wait_for(|said| said.ended)).await.unwrap();
        self.child.wait().unwrap()
    }

    /// What it printed on stdout, once it has ended.
    pub(crate) fn stdout(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut text).unwrap();
        }
        text
    }
}

impl Drop for Semel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
