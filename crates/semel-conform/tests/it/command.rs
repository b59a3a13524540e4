//! The tester's own command, as a process.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) async fn of(child: Child) -> Self {
        let waited = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        let Output { status, stdout, stderr } = waited.expect("the command ends").unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

/// The command, with nothing of this environment that changes what it says.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semel-conform"));
    command.args(args).env_remove("NO_COLOR").env_remove("CI").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) async fn conform(args: &[&str]) -> Ended {
    Ended::of(command(args).spawn().unwrap()).await
}
