//! `semel serve --config` and `semel config`: what a file decides, and what is refused.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::client::{Request, ask};
use crate::harness::semel::{Ended, command, run, serve};
use crate::harness::upstream::Upstream;

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

struct Written {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Written {
    fn new(toml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("semel.toml");
        std::fs::write(&path, toml).unwrap();
        Self { _dir: dir, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

async fn shown(args: &[&str]) -> Value {
    let args: Vec<&str> = ["config", "show", "--json"].iter().chain(args).copied().collect();
    let ended = run(&args).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

fn told(ended: &Ended, code: i32, part: &str) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains(part), "{part:?} is not in {}", ended.stderr);
}

#[tokio::test]
async fn a_server_runs_by_a_file_alone() {
    let upstream = Upstream::start().await;
    let file = Written::new(&format!(
        "[server]\nupstream = \"http://{}\"\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"
store = \"memory:\"\nservice = \"shop\"\n[defaults]\nscope = \"none\"\n[[route]]\npath = \"/v1/charges\"
required = \"required\"\n",
        upstream.addr
    ));
    let mut command = command();
    command.args(["serve", "--config", file.path()]);
    let semel = crate::harness::semel::Serve::of(command).start().await;
    let missing = ask(semel.addr, &Request::post("/v1/charges", "{}")).await;
    assert_eq!((missing.status, &missing.json()["code"]), (400, &json!("SEM-0101")));
    let keyed = Request::post("/v1/charges", "{}").key(KEY);
    assert_eq!(ask(semel.addr, &keyed).await.verdict(), Some("executed"));
    assert_eq!(ask(semel.addr, &Request::post("/v1/other", "{}")).await.status, 201);
    assert_eq!(upstream.effects(), 2);
    let said = semel.stderr();
    for part in
        ["service `shop`", "/v1/charges (POST, PATCH): key required", "settings  ", "memory"]
    {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

#[tokio::test]
async fn a_wrong_file_stops_the_start_before_anything_is_made() {
    let upstream = Upstream::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("data");
    let serve = serve(upstream.addr).embedded(&store).file("[defaults]\n\nretension = \"3d\"\n");
    let ended = serve.refused().await;
    told(
        &ended,
        2,
        "semel.toml:3: `retension`: [defaults] has no such key; did you mean `retention`?",
    );
    assert!(!store.exists());
    let nowhere = run(&["serve", "--config", "/proc/nowhere.toml"]).await;
    told(&nowhere, 2, "the configuration file /proc/nowhere.toml cannot be read");
    told(&run(&["serve"]).await, 2, "no upstream is named");
}

#[tokio::test]
async fn check_says_yes_or_no_and_starts_nothing() {
    let right = Written::new("[[route]]\npath = \"/a\"\n");
    let ended = run(&["config", "check", "--config", right.path()]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("nothing is wrong; 1 routes"), "{}", ended.stdout);
    let wrong = Written::new("[defaults]\nwait = 5\nlease = \"1s\"\n");
    let ended = run(&["config", "check", "--config", wrong.path()]).await;
    told(&ended, 1, "semel.toml:2: `wait`");
    assert!(ended.stderr.contains("semel.toml:3: `lease`: route `*`"), "{}", ended.stderr);
    // A flag may make the difference.
    let with = ["config", "check", "--config", wrong.path(), "--store-deadline", "100ms"];
    assert!(!run(&with).await.stderr.contains("`lease`"));
    told(&run(&["config", "check", "--config", "/proc/nowhere"]).await, 2, "cannot be read");
}

#[tokio::test]
async fn show_names_each_value_with_who_decided_it() {
    let file = Written::new(
        "[server]\nservice = \"shop\"\n[defaults]\nwait = \"2s\"\nmemory = \"40d\"\n[[route]]
path = \"/a\"\nmatch_methods = [\"PUT\"]\nmethods = [\"PUT\"]\nwait = \"1s\"\n",
    );
    let at = |line: u32| format!("{}:{line}", file.path());
    let told = shown(&["--config", file.path(), "--wait", "7s"]).await;
    assert_eq!(told["server"]["service"], json!({ "value": "shop", "origin": at(2) }));
    assert_eq!(told["server"]["upstream"], json!({ "value": null, "origin": "default" }));
    assert_eq!(told["defaults"]["wait"], json!({ "value": "7s", "origin": "flag" }));
    assert_eq!(told["defaults"]["memory"], json!({ "value": "40d", "origin": at(5) }));
    assert_eq!(told["defaults"]["no_effect"], json!({ "value": [401, 429], "origin": "default" }));
    let route = &told["routes"][0];
    assert_eq!((&route["path"], &route["match_methods"]), (&json!("/a"), &json!(["PUT"])));
    assert_eq!(route["origin"], json!(at(6)));
    assert_eq!(route["settings"]["wait"], json!({ "value": "1s", "origin": at(10) }));
    assert_eq!(route["settings"]["memory"], json!({ "value": "40d", "origin": at(5) }));

    let mut by_environment = command();
    by_environment.args(["config", "show"]).env("SEMEL_CONFIG", file.path());
    by_environment.env("SEMEL_MEMORY", "50d");
    let ended = crate::harness::semel::Serve::of(by_environment).refused().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let memory: Vec<&str> = ended.stdout.lines().filter(|l| l.starts_with("memory = ")).collect();
    assert_eq!(memory.len(), 2, "the defaults' and the route's: {}", ended.stdout);
    assert!(memory.iter().all(|line| line.contains("\"50d\"") && line.ends_with("# environment")));
    // What is printed is a file by itself.
    let again = Written::new(&ended.stdout);
    let same = shown(&["--config", again.path()]).await;
    assert_eq!(same["defaults"]["memory"]["value"], "50d");
    assert_eq!(same["routes"][0]["settings"]["wait"]["value"], "1s");
}

#[tokio::test]
async fn the_reference_file_is_printed_and_sets_nothing() {
    let ended = run(&["config", "default"]).await;
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("semel.default.toml");
    assert_eq!(ended.stdout, std::fs::read_to_string(reference).unwrap());
    let file = Written::new(&ended.stdout);
    let (with, without) = (shown(&["--config", file.path()]).await, shown(&[]).await);
    assert_eq!((&with["server"], &with["defaults"]), (&without["server"], &without["defaults"]));
}

#[tokio::test]
async fn what_is_published_tells_each_route_as_it_is() {
    let upstream = Upstream::start().await;
    let semel = serve(upstream.addr)
        .file(
            "[[route]]\npath = \"/watch\"\nmode = \"observe\"\n[[route]]\npath = \"/off\"\nrequired = \"off\"
[[route]]\npath = \"/put\"\nmatch_methods = [\"PUT\", \"GET\"]\nmethods = [\"POST\", \"PUT\"]\nrequired = \"required\"
key_in = \"header:X-Key\"\nkey_format = \"uuid\"\nweak = \"reject\"\nscope = \"header:X-Who\"\nwait = \"2s\"
retention = \"2h\"\nmemory = \"forever\"\nno_effect = []\nreauthorize = \"GET /me\"\nquota.keys = \"5/1m\"
quota.in_flight = 9
[[route]]\npath = \"/pass\"\nstore_down = \"pass\"\n[[route]]\npath = \"/rerun\"\non_lapse = \"rerun\"\nattempts_max = 3\n",
        )
        .start()
        .await;
    let published = ask(semel.addr, &Request::get("/.well-known/idempotency")).await.json();
    let routes = published["routes"].as_array().unwrap();
    let paths: Vec<&str> = routes.iter().filter_map(|route| route["path"].as_str()).collect();
    assert_eq!(paths, ["/watch", "/off", "/put", "/pass", "/rerun", "*"]);
    let [watch, off, put, pass, rerun, rest] = &routes[..] else { panic!("{published}") };
    assert_eq!((&watch["mode"], &rest["mode"]), (&json!("observe"), &json!("enforce")));
    assert_eq!(off, &json!({ "path": "/off", "for_methods": null, "key": "off" }));
    for (member, value) in [
        ("for_methods", json!(["PUT", "GET"])),
        ("methods", json!(["PUT"])),
        ("key", json!("required")),
        ("key_in", json!({ "header": "x-key" })),
        ("key_format", json!("uuid")),
        ("weak_keys", json!("rejected")),
        ("principal", json!("x-who")),
        ("wait", json!(2)),
        ("retention", json!(7200)),
        ("memory", json!("forever")),
        (
            "quota",
            json!({
                "keys": { "most": 5, "window": 60 }, "bytes": null, "per_second": null,
                "in_flight": 9, "counted_by": "process",
            }),
        ),
    ] {
        assert_eq!(put[member], value, "{member}");
    }
    let said = semel.stderr();
    for (route, promise) in [
        (watch, "none: keys are observed"),
        (put, "at most one execution, until restart"),
        (pass, "best effort: while the store is down"),
        (rerun, "effectively once, where the service behind honours the key that it is sent"),
        (rest, "at most one execution, until restart"),
    ] {
        let told = route["promise"].as_str().unwrap();
        assert!(told.starts_with(promise), "{told}");
        assert!(said.contains(told), "the start does not say {told}: {said}");
    }
    for line in [
        "/off (all methods): keys are ignored",
        "/put (PUT): key required, in header `x-key`",
        "each value of `x-who`",
        "once GET /me answers it with success",
    ] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
}

/// A public key of P-256 (RFC 7517, appendix A.1).
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1",
"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

#[tokio::test]
async fn the_file_in_the_guide_is_one_that_a_server_could_run_by() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/gateway.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let file = guide.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let keys = Written::new(JWKS);
    assert!(file.contains("/etc/semel/jwks.json"));
    let file = Written::new(&file.replace("/etc/semel/jwks.json", keys.path()));
    let checked = run(&["config", "check", "--config", file.path()]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let shown = shown(&["--config", file.path()]).await;
    assert_eq!(shown["routes"][0]["settings"]["scope"]["value"], "jwt:sub");
    assert_eq!(shown["routes"][1]["settings"]["required"]["value"], "off");
}
