use super::*;
use tokio::time::advance;

const WHO: Who = Who { route: 1, principal: [1; 32] };

fn id(n: u16) -> RecordId {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&n.to_le_bytes());
    RecordId(id)
}

fn another(n: u32) -> Who {
    let mut principal = [9; 32];
    principal[..4].copy_from_slice(&n.to_le_bytes());
    Who { principal, ..WHO }
}

fn per(most: u64, seconds: u64) -> Option<PerWindow> {
    Some(PerWindow { most, window: Span::from_secs(seconds) })
}

fn keys(most: u64) -> Quota {
    Quota { keys: per(most, 60), ..Quota::default() }
}

fn place(admitted: Admitted) -> Place {
    match admitted {
        Admitted::Yes(place) => place,
        Admitted::OnlyIfKnown { full, .. } => panic!("no room in {full}"),
    }
}

/// What is full, and for how many milliseconds.
fn full(admitted: &Admitted) -> Option<(&'static str, u64)> {
    match admitted {
        Admitted::Yes(_) => None,
        Admitted::OnlyIfKnown { after, full } => Some((*full, after.as_ms())),
    }
}

/// A key that runs to its end.
fn run(quotas: &Quotas, quota: &Quota, who: Who, n: u16, bytes: u64) {
    place(quotas.admit(quota, who, id(n))).begins().begin().keeps(bytes);
}

#[tokio::test(start_paused = true)]
async fn a_window_holds_so_many_keys_of_each_principal_and_then_ends() {
    let (quotas, quota) = (Quotas::default(), keys(2));
    run(&quotas, &quota, WHO, 1, 9);
    advance(Duration::from_secs(20)).await;
    run(&quotas, &quota, WHO, 2, 9);
    assert_eq!(full(&quotas.admit(&quota, WHO, id(3))), Some(("keys", 40_000)));
    run(&quotas, &quota, another(2), 3, 9);
    let other_route = Who { route: 2, ..WHO };
    run(&quotas, &quota, other_route, 3, 9);
    advance(Duration::from_secs(40)).await;
    run(&quotas, &quota, WHO, 3, 9);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_unless_its_key_has_run() {
    let (quotas, quota) = (Quotas::default(), keys(1));
    let first = place(quotas.admit(&quota, WHO, id(1)));
    drop(place(quotas.admit(&quota, WHO, id(1))));
    assert_eq!(full(&quotas.admit(&quota, WHO, id(2))).map(|f| f.0), Some("keys"));
    drop(first);
    let second = place(quotas.admit(&quota, WHO, id(2)));
    let begins = second.begins();
    drop(second);
    drop(begins.begin());
    drop(begins);
    assert!(full(&quotas.admit(&quota, WHO, id(3))).is_some());
}

#[tokio::test(start_paused = true)]
async fn bytes_are_those_of_kept_replies_in_a_window() {
    let quotas = Quotas::default();
    let quota = Quota { bytes: per(100, 60), ..Quota::default() };
    run(&quotas, &quota, WHO, 1, 99);
    run(&quotas, &quota, WHO, 2, 500);
    advance(Duration::from_secs(1)).await;
    assert_eq!(full(&quotas.admit(&quota, WHO, id(3))), Some(("bytes", 59_000)));
    advance(Duration::from_secs(59)).await;
    run(&quotas, &quota, WHO, 3, 1);
}

#[tokio::test(start_paused = true)]
async fn new_keys_in_a_second_come_back_evenly() {
    let quotas = Quotas::default();
    let quota = Quota { per_second: Some(4), ..Quota::default() };
    for n in 0..4 {
        run(&quotas, &quota, WHO, n, 0);
    }
    assert_eq!(full(&quotas.admit(&quota, WHO, id(4))), Some(("per_second", 250)));
    advance(Duration::from_millis(249)).await;
    assert_eq!(full(&quotas.admit(&quota, WHO, id(4))), Some(("per_second", 1)));
    advance(Duration::from_millis(1)).await;
    // What turns out to be known costs nothing.
    drop(place(quotas.admit(&quota, WHO, id(5))));
    run(&quotas, &quota, WHO, 4, 0);
    assert!(full(&quotas.admit(&quota, WHO, id(6))).is_some());
    advance(Duration::from_secs(3600)).await;
    for n in 0..4 {
        run(&quotas, &quota, WHO, n, 0);
    }
    assert!(
        full(&quotas.admit(&quota, WHO, id(6))).is_some(),
        "an hour saves up no more than a second"
    );
}

#[tokio::test(start_paused = true)]
async fn so_many_run_at_once_even_when_their_callers_have_left() {
    let quotas = Quotas::default();
    let quota = Quota { in_flight: Some(2), ..Quota::default() };
    let first = place(quotas.admit(&quota, WHO, id(1))).begins().begin();
    let held = place(quotas.admit(&quota, WHO, id(2)));
    assert_eq!(full(&quotas.admit(&quota, WHO, id(3))), Some(("in_flight", 1000)));
    drop(place(quotas.admit(&quota, WHO, id(2))));
    drop(held);
    let _second = place(quotas.admit(&quota, WHO, id(3))).begins().begin();
    assert!(full(&quotas.admit(&quota, WHO, id(4))).is_some());
    drop(first);
    drop(place(quotas.admit(&quota, WHO, id(4))));
}

#[tokio::test(start_paused = true)]
async fn accounts_with_nothing_in_them_are_forgotten() {
    let (quotas, quota) = (Quotas::default(), keys(2));
    for n in 0..5000 {
        run(&quotas, &quota, another(n), 1, 0);
        advance(Duration::from_secs(1)).await;
    }
    assert!(quotas.accounts().by_who.len() <= TIDY_MIN);
}

#[tokio::test(start_paused = true)]
async fn who_makes_up_principals_gains_no_room_and_takes_no_memory() {
    let (quotas, quota) = (Quotas::default(), keys(2));
    for n in 0..u32::try_from(ACCOUNTS_MAX).unwrap() {
        run(&quotas, &quota, another(n), 1, 0);
    }
    // There are as many accounts as may be: all others have one between them.
    let mut admitted = 0;
    for n in 200_000..200_500 {
        if let Admitted::Yes(place) = quotas.admit(&quota, another(n), id(1)) {
            place.begins().begin();
            admitted += 1;
        }
    }
    assert_eq!(admitted, 2);
    assert_eq!(quotas.accounts().by_who.len(), ACCOUNTS_MAX + 1);
    run(&quotas, &quota, another(7), 2, 0);
    // And when the windows are over there is room again.
    advance(Duration::from_secs(61)).await;
    for n in 200_000..200_500 {
        run(&quotas, &quota, another(n), 1, 0);
    }
}
