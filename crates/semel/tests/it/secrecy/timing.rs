//! The time of an inquiry: about a key that nobody used, and about one that somebody else did.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use semel::http::Route;

use super::{Chance, INQUIRY, inquiry, number};
use crate::door::{Door, key, post};

/// Of each kind.
const KEYS: u32 = 512;
/// Beyond it a difference is taken for one (as dudect does: Reparaz, Balasch, Verbauwhede 2017).
const T_MAX: f64 = 4.5;

#[derive(Debug, Default)]
struct Samples(Vec<f64>);

impl Samples {
    fn mean_and_error(&self, below: f64) -> (f64, f64, usize) {
        let kept: Vec<f64> = self.0.iter().copied().filter(|sample| *sample <= below).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance =
            kept.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count, kept.len())
    }
}

/// Welch's t of two samples, without what lies above `below`.
fn welch(one: &Samples, other: &Samples, below: f64) -> (f64, f64, f64) {
    let (a, error_a, _) = one.mean_and_error(below);
    let (b, error_b, _) = other.mean_and_error(below);
    ((a - b) / (error_a + error_b).sqrt(), a, b)
}

/// The nanoseconds below which nine of ten samples lie: above stand the scheduler's.
fn ninth_decile(all: [&Samples; 2]) -> f64 {
    let mut sorted: Vec<f64> = all.iter().flat_map(|samples| samples.0.iter().copied()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() * 9 / 10]
}

#[tokio::test]
async fn an_inquiry_takes_as_long_about_anothers_key_as_about_none() {
    let (samples, mut chance) = (number("SEMEL_SECRECY_SAMPLES", 20_000), Chance::seeded());
    let handler = |_| {
        std::future::ready(
            Response::builder()
                .status(201)
                .body(Full::from(Bytes::from_static(b"a reply")))
                .unwrap(),
        )
    };
    let door = Door::new(Route::default(), handler).await;
    // Whether a key is a victim's is decided by lot, so that neither its digits nor its place tell.
    let victims: Vec<bool> = (0..2 * KEYS).map(|_| chance.below(2) == 0).collect();
    for n in (0..2 * KEYS).filter(|n| victims[*n as usize]) {
        let made = door.send(post(n, &[("authorization", "Bearer victim")], "1200")).await;
        assert_eq!(made.word(), "executed");
    }
    let mut told: Option<Bytes> = None;
    let mut taken = [Samples::default(), Samples::default()];
    for n in 0..samples + 2000 {
        let number = u32::try_from(chance.below(u64::from(2 * KEYS))).unwrap();
        let request = inquiry("GET", INQUIRY, &key(number), "stranger");
        let sending = door.send(request);
        let began = Instant::now();
        let got = black_box(sending.await);
        let nanoseconds = began.elapsed().as_nanos() as f64;
        assert_eq!(told.get_or_insert_with(|| got.body.clone()), &got.body, "they look alike");
        // The first ones warm up.
        if n >= 2000 {
            taken[usize::from(victims[number as usize])].0.push(nanoseconds);
        }
    }
    let [absent, anothers] = &taken;
    let below = ninth_decile([absent, anothers]);
    let (t, a, b) = welch(absent, anothers, below);
    let (t_all, ..) = welch(absent, anothers, f64::INFINITY);
    println!(
        "{samples} samples: absent {a:.0} ns, another's {b:.0} ns, t {t:.2}; with outliers t {t_all:.2}"
    );
    assert!(
        t.abs() < T_MAX,
        "another's key can be told from none: t {t:.2} ({a:.0} and {b:.0} ns)"
    );
}

/// The measure bites: five per cent of difference are seen in so many samples.
#[test]
fn a_difference_is_seen() {
    let mut chance = Chance(7);
    let mut sample =
        |mean: f64| Samples((0..10_000).map(|_| mean + chance.below(2000) as f64).collect());
    let (one, other, same) = (sample(10_000.0), sample(10_100.0), sample(10_000.0));
    assert!(welch(&one, &other, f64::INFINITY).0.abs() > T_MAX);
    assert!(welch(&one, &same, f64::INFINITY).0.abs() < T_MAX);
}
