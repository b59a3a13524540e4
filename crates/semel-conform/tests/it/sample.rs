//! An application that heeds no key fails where it must.

use std::time::Duration;

use semel_conform::case::Verdict;
use semel_conform::run::{Options, run};
use semel_conform::sample::{App, serve};
use semel_conform::target;

#[tokio::test]
async fn an_application_that_heeds_no_key_runs_twice() {
    let app = App::default();
    let serving = serve("127.0.0.1:0".parse().unwrap(), move |request| {
        let app = app.clone();
        async move { app.handle(request).await }
    });
    let serving = serving.await.unwrap();
    let text = format!(
        r#"
url = "http://{}"
behaviours = ["all"]
[operation]
path = "/charges"
headers = {{ Content-Type = "application/json" }}
body = '{{"reference":"{{unique}}","behaviour":"{{behaviour}}","slow_ms":{{slow_ms}},"amount":{{amount}}}}'
[effects]
probe = "/charges?reference={{unique}}"
pointer = "/count"
"#,
        serving.addr
    );
    let target = target::parse(&text).unwrap();
    let select = ["replay/one-effect", "replay/status", "replay/no-content", "replay/binary"];
    let select = select.map(str::to_owned).to_vec();
    let options = Options { unit: Duration::from_millis(20), select, ..Options::default() };
    let findings = run(target, options, |_| ()).await.unwrap();
    for finding in &findings.all {
        let Verdict::Fail { observed, .. } = &finding.verdict else {
            panic!("{}: {:?}", finding.case.id, finding.verdict)
        };
        assert_eq!(observed, "2 effects", "{}", finding.case.id);
        assert!(finding.commands[0].starts_with("curl -i -X POST"), "{:?}", finding.commands);
    }
}
