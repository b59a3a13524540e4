//! Schemathesis, which sends the admin API what its document allows and what it does not, and judges each
//! answer by the document.

use std::process::{Command, Stdio};

use crate::harness::client::{Request, ask};
use crate::harness::semel::serve;
use crate::harness::upstream::{Act, Upstream};

/// Not asked: whether all that the document allows is taken (a key's form is the route's to say), and
/// whether a wrong token is refused each time (after ten of them, none is looked at).
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
response_headers_conformance,response_schema_conformance,negative_data_rejection,unsupported_method";

#[tokio::test]
async fn the_admin_api_answers_as_its_document_says() {
    let root = std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let named = std::env::var_os("SEMEL_PYTHON").map(std::path::PathBuf::from);
    let python = named.unwrap_or_else(|| root.join("target/venv/bin/python"));
    let tool = python.with_file_name("schemathesis");
    assert!(tool.exists(), "{} is not there: run scripts/test, which installs it", tool.display());

    let upstream = Upstream::start().await;
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "a-token-of-some-length\n").unwrap();
    let semel = serve(upstream.addr)
        .embedded(&home.path().join("data"))
        .arg("--admin-token-file", token.to_str().unwrap())
        .start()
        .await;
    upstream.next(vec![Act::Reset]);
    for n in 0..5 {
        ask(semel.addr, &Request::charge(&format!("key-1{n:03}-abcdefgh"), "{}")).await;
    }
    let mut command = Command::new(tool);
    command.arg("run").arg(format!("http://{}/openapi.json", semel.admin));
    command.args(["--header", "Authorization: Bearer a-token-of-some-length"]);
    command.args(["--checks", CHECKS, "--max-examples", "25", "--seed", "7", "--no-color"]);
    command.current_dir(home.path()).stdin(Stdio::null());
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let ended = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    let live = ask(semel.admin, &Request::get("/health/live").set("Host", "localhost")).await;
    assert_eq!(live.status, 200);
}
