//! `semel demo` where its usual ports are taken, and its three printed commands as a newcomer runs
//! them: pasted into a shell.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use crate::harness::semel::{command, interrupt};
use crate::harness::within;

/// The commands among the lines that the demo prints; one may go on behind a backslash.
fn commands(said: &[String]) -> Vec<String> {
    let mut commands: Vec<String> = vec![];
    let mut goes_on = false;
    for line in said.iter().map(|line| line.trim()) {
        if goes_on {
            let last = commands.last_mut().expect("a line goes on");
            *last = format!("{} {line}", last.trim_end_matches('\\'));
        } else if line.starts_with("curl ") {
            commands.push(line.to_owned());
        }
        goes_on = (goes_on || line.starts_with("curl ")) && line.ends_with('\\');
    }
    commands
}

/// Runs it in a shell, and returns the head and the body that curl shows.
async fn paste(line: String) -> (String, String) {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(line).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || shell.output());
    let output = within("the command ends", output).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    let (head, body) = shown.split_once("\r\n\r\n").expect("curl -i shows the head");
    (head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn with_its_ports_taken_it_takes_others_and_its_commands_do_what_they_say() {
    // Whoever else holds one of them takes it no less.
    let usual = [8080, 8081, 8082].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let _taken = usual.map(|addr| TcpListener::bind(addr).ok());
    let place = tempfile::tempdir().unwrap();
    let mut demo = command();
    demo.arg("demo").env("TMPDIR", place.path()).current_dir(place.path());
    let mut child = demo.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    let mut said: Vec<String> = vec![];
    while !said.last().is_some_and(|line| line.contains("ctrl-C")) {
        said.push(within("the demo says more", told.recv()).await.expect("the demo runs"));
    }
    let address = said.iter().find_map(|line| line.strip_prefix("listening on http://"));
    let address: SocketAddr = address.expect("it names its address").parse().unwrap();
    assert!(!usual.contains(&address), "{address} was taken");

    let commands = commands(&said);
    assert_eq!(commands.len(), 3, "{said:#?}");
    let mut shown = vec![];
    for line in commands {
        shown.push(paste(line).await);
    }
    let [(first, paid), (again, same), (other, refused)] = &shown[..] else { unreachable!() };
    assert!(first.starts_with("http/1.1 200") && first.contains("idempotency-status: executed"));
    assert!(again.starts_with("http/1.1 200") && again.contains("idempotent-replayed: true"));
    assert_eq!(paid, same, "the retry gets the same reply");
    assert!(paid.contains("\"amount\": 1200") || paid.contains("\"amount\":1200"), "{paid}");
    assert!(other.starts_with("http/1.1 422") && refused.contains("SEM-0201"), "{refused}");

    interrupt(child.id());
    let ended = tokio::task::spawn_blocking(move || child.wait());
    assert_eq!(within("the demo ends", ended).await.unwrap().unwrap().code(), Some(0));
}
