use super::*;

fn by(found: Option<&str>, not_found: &[u16]) -> Reconcile {
    Reconcile {
        found: found.map(|pointer| pointer.parse().unwrap()),
        not_found: not_found.to_vec(),
        ..Reconcile::get("/charges?k={derived_key}")
    }
}

fn read(look_up: &Reconcile, status: u16, body: &'static str) -> Read {
    look_up.read(StatusCode::from_u16(status).unwrap(), &Bytes::from_static(body.as_bytes()))
}

fn found(text: &'static str) -> Read {
    Read::Found(Bytes::from_static(text.as_bytes()))
}

fn unclear(read: &Read) -> bool {
    matches!(read, Read::Unclear(_))
}

#[test]
fn a_status_proves_absence_only_where_the_route_lists_it() {
    let by_path = by(None, &[404]);
    assert_eq!(read(&by_path, 200, "{\"id\":7}"), found("{\"id\":7}"));
    assert_eq!(read(&by_path, 404, "no such charge"), Read::NotFound);
    for status in [204, 206, 301, 400, 401, 403, 410, 429, 500, 503] {
        assert!(unclear(&read(&by_path, status, "")), "{status}");
    }
    // A path that is misspelled is answered 404, too.
    assert!(unclear(&read(&by(None, &[]), 404, "")));
}

#[test]
fn an_element_is_found_as_it_is_written() {
    let list = by(Some("/data/0"), &[]);
    let charge = r#"{"id": 7, "amount":100000000000000000001.50}"#;
    let body = r#"{"data":[ {"id": 7, "amount":100000000000000000001.50} ,{"id":8}]}"#;
    assert_eq!(read(&list, 200, body), found(charge));
    assert_eq!(read(&list, 200, r#"{"data":[]}"#), Read::NotFound);
    assert_eq!(read(&list, 200, r#"{"data":[null]}"#), Read::NotFound);
    let member = by(Some("/charge"), &[]);
    assert_eq!(read(&member, 200, r#"{"charge":{"id":1}}"#), found(r#"{"id":1}"#));
    assert_eq!(read(&member, 200, r#"{"charge":null}"#), Read::NotFound);
    assert_eq!(read(&by(Some("/0"), &[]), 200, "[]"), Read::NotFound);
    assert_eq!(read(&by(Some("/a~1b"), &[]), 200, r#"{"a/b":"x"}"#), found("\"x\""));
}

#[test]
fn another_document_than_the_one_described_says_nothing() {
    let list = by(Some("/data/0"), &[]);
    for body in [
        r#"{"error":"try later"}"#,
        r#"{"data":{}}"#,
        r#"{"data":"x"}"#,
        "{\"data\":[",
        "",
        "<html>",
        r#"{"data":[]} trailing"#,
    ] {
        assert!(unclear(&read(&list, 200, body)), "{body}");
    }
    assert!(unclear(&read(&by(Some("/data/00"), &[]), 200, r#"{"data":[]}"#)));
    assert!(unclear(&read(&by(Some("/data/+1"), &[]), 200, r#"{"data":[]}"#)));
    assert!(unclear(&read(&by(Some("/0/id"), &[]), 200, r#"{"data":[]}"#)));
}

#[test]
fn the_key_stands_in_the_target_escaped() {
    let key = Key::from_text("a b&c=d/{}%").unwrap();
    let asked = Reconcile::get("/by/{key}?k={derived_key}");
    let target = asked.target_for("0e4-8", Some(&key)).unwrap();
    assert_eq!(target.as_str(), "/by/a%20b%26c%3Dd%2F%7B%7D%25?k=0e4-8");
    assert_eq!(asked.target_for("0e4-8", None), None);
    let derived = Reconcile::get("/by/{derived_key}").target_for("0e4-8", None);
    assert_eq!(derived.unwrap().as_str(), "/by/0e4-8");
}

#[test]
fn what_could_never_work_is_refused_by_name() {
    let derived = Route::gateway();
    let callers = Route { forward: Forward::Caller, ..Route::gateway() };
    let in_body = Route { key: KeySource::Body("/key".to_owned()), ..Route::gateway() };
    let get = |target: &str| Reconcile::get(target);
    let ok = get("/c?k={derived_key}");
    assert_eq!(ok.check(&derived), Ok(()));
    assert_eq!(get("/c/{key}").check(&callers), Ok(()));
    assert_eq!(get("/c/{key}").check(&in_body), Ok(()));
    assert_eq!(Reconcile { consistent: true, ..by(Some("/0"), &[]) }.check(&derived), Ok(()));
    let target = |t: &str| ReconcileError::Target { target: t.to_owned() };
    for (look_up, route, error) in [
        (
            Reconcile { method: Method::POST, ..ok.clone() },
            &derived,
            ReconcileError::Method { method: Method::POST },
        ),
        (get("c/{derived_key}"), &derived, target("c/{derived_key}")),
        (get("/c/{id}"), &derived, target("/c/{id}")),
        (
            get("/.well-known/idempotency/{derived_key}"),
            &derived,
            target("/.well-known/idempotency/{derived_key}"),
        ),
        (get("/c"), &derived, ReconcileError::NoKey { target: "/c".to_owned() }),
        (
            ok.clone(),
            &callers,
            ReconcileError::UnseenKey { asked: DERIVED, why: "`forward` is the caller's" },
        ),
        (
            get("/c/{key}"),
            &derived,
            ReconcileError::UnseenKey { asked: CALLERS, why: "`forward` is the derived key" },
        ),
        (by(None, &[200]), &derived, ReconcileError::NotFound { status: 200 }),
        (by(None, &[503]), &derived, ReconcileError::NotFound { status: 503 }),
        (Reconcile { consistent: true, ..ok }, &derived, ReconcileError::NoWayToSayNo),
    ] {
        assert_eq!(look_up.check(route), Err(error), "{}", look_up.target);
    }
}

#[test]
fn headers_are_read_line_by_line_and_never_told() {
    let headers = headers_of("# ours\nAuthorization: Bearer sk_1\n\nX-A : b: c \n").unwrap();
    assert_eq!(headers["authorization"], "Bearer sk_1");
    assert_eq!(headers["x-a"], "b: c");
    assert!(headers["authorization"].is_sensitive());
    for (text, line) in
        [("sk_1", "line 1"), ("\nsk 1: x", "line 2"), ("Content-Length: 3", "line 1")]
    {
        let why = headers_of(text).unwrap_err();
        assert!(why.starts_with(line) && !why.contains("sk"), "{why}");
    }
}
