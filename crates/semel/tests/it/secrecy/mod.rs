//! What one caller can learn of another: nothing, neither from replies nor from the time that they take.
//!
//! `SEMEL_SECRECY` sets how many operations (default 20,000; `scripts/soak security` has a million), `SEMEL_SECRECY_SAMPLES` how many
//! measurements (20,000; a hundred thousand), `SEMEL_SEED` their order.

mod canary;
mod timing;

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |given| given.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// A seeded stream of numbers: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn seeded() -> Self {
        Self(number("SEMEL_SEED", 20_261_124))
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    const fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// An inquiry about `key` by whoever bears `token`.
fn inquiry(
    method: &str,
    path: &str,
    key: &str,
    token: &str,
) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "api.example")
        .header("idempotency-key", key)
        .header("authorization", format!("Bearer {token}"))
        .body(http_body_util::Full::default())
        .unwrap()
}

const INQUIRY: &str = "/.well-known/idempotency/key";
