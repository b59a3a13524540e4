use serde_json::json;

use crate::service::Service;

#[tokio::test]
async fn the_page_and_its_files_are_served_and_reach_for_nothing_else() {
    let service = Service::start().await;
    let page = service.send("GET /", "", "").await;
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html"));
    assert!(page.head.contains("content-security-policy: default-src 'self'"));
    let linked: Vec<&str> =
        page.body.split(['"', '\'']).filter(|text| text.starts_with("/playground/")).collect();
    assert_eq!(linked.len(), 3, "{linked:?}");
    for file in linked {
        let answer = service.send(&format!("GET {file}"), "", "").await;
        assert_eq!(answer.status, 200, "{file}");
        assert!(!answer.body.is_empty(), "{file}");
        assert!(!answer.body.contains("https://"), "{file}");
    }
    assert!(!page.body.contains("https://"));
    assert_eq!(service.send("GET /playground/none.js", "", "").await.error().0, 404);
}

#[tokio::test]
async fn the_state_counts_the_charges_of_one_run_by_lane() {
    let service = Service::start().await;
    let charge = |run: &str, lane: &str| {
        format!("amount=2000&currency=usd&source=x&metadata[run]={run}&metadata[lane]={lane}")
    };
    for (run, lane) in [("1", "with"), ("1", "without"), ("1", "without"), ("2", "with")] {
        service.charge(&charge(run, lane)).await;
    }
    let state = service.send("GET /playground/state?run=1", "", "").await;
    assert_eq!(state.json(), json!({"run": "1", "with": 1, "without": 2}));
    assert!(state.head.contains("cache-control: no-store"));
    let state = service.send("GET /playground/state?run=3", "", "").await;
    assert_eq!(state.json(), json!({"run": "3", "with": 0, "without": 0}));
    assert_eq!(service.send("GET /playground/state", "", "").await.error().0, 400);
}
