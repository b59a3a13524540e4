//! Where the disk will be at the end of the memory window, if keys go on coming as they came since
//! the start. A multiplication, no promise: it always says over which time the rate was observed.

use std::time::Duration;

use semel::core::Span;
use semel::store::embedded::Stats;
use serde_json::{Value, json};

/// Bytes of a key in a table of spent keys, until there is one to measure.
const SPENT_BYTES_A_KEY: f64 = 31.0;
const DAY_SECONDS: f64 = 86_400.0;

/// What was seen, and what is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observed {
    /// The store's numbers.
    pub(super) stats: Stats,
    /// Since the store was opened: so long its new keys were counted.
    pub(super) over: Duration,
    /// The longest retention of any route.
    pub(super) retention: Span,
    /// The longest memory of any route.
    pub(super) memory: Span,
}

/// The forecast in numbers; null where there is nothing to count with yet.
pub(super) fn numbers(observed: &Observed) -> Value {
    let Some(pace) = Pace::of(observed) else { return Value::Null };
    json!({
        "observed_seconds": observed.over.as_secs(),
        "new_keys": observed.stats.begun,
        "keys_a_second": (pace.keys_a_second * 1000.0).round() / 1000.0,
        "log_bytes_a_key": pace.log_a_key.round(),
        "spent_bytes_a_key": pace.spent_a_key.round(),
        "spent_bytes_are_measured": observed.stats.spent_keys > 0,
        "bytes_now": observed.stats.log_bytes + observed.stats.spent_bytes,
        "bytes_at_end_of_memory": pace.bytes_at_end.map(f64::round),
        "bytes_a_day_without_end": pace.bytes_a_day.map(f64::round),
        "free_bytes": observed.stats.free_bytes,
        "fits": pace.fits(observed),
    })
}

/// The forecast in words.
pub(super) fn words(observed: &Observed) -> String {
    let Some(pace) = Pace::of(observed) else {
        return "no new key was observed yet, so nothing can be told".to_owned();
    };
    let seen = format!(
        "at {:.3} new keys a second, as observed over the last {} ({} keys)",
        pace.keys_a_second,
        length(observed.over.as_secs_f64()),
        observed.stats.begun
    );
    let comes_to = match (pace.bytes_at_end, pace.bytes_a_day) {
        (Some(bytes), _) => format!(
            "keys take {} at the end of the memory window ({})",
            size(bytes),
            length(observed.memory.to_duration().as_secs_f64())
        ),
        (None, a_day) => format!("keys take {} a day, without end", size(a_day.unwrap_or(0.0))),
    };
    let room = match (observed.stats.free_bytes, pace.fits(observed)) {
        (Some(free), Some(false)) => format!("; only {} are free", size(free as f64)),
        (Some(free), _) => format!("; {} are free", size(free as f64)),
        (None, _) => String::new(),
    };
    format!("{seen}, {comes_to}{room}")
}

struct Pace {
    keys_a_second: f64,
    log_a_key: f64,
    spent_a_key: f64,
    /// None where something is kept for ever.
    bytes_at_end: Option<f64>,
    /// What is kept for ever.
    bytes_a_day: Option<f64>,
}

impl Pace {
    fn of(observed: &Observed) -> Option<Self> {
        let Observed { stats, over, retention, memory } = observed;
        if stats.begun == 0 || stats.keys == 0 || over.is_zero() {
            return None;
        }
        let keys_a_second = stats.begun as f64 / over.as_secs_f64();
        let log_a_key = stats.log_bytes as f64 / stats.keys as f64;
        let spent_a_key = match stats.spent_keys {
            0 => SPENT_BYTES_A_KEY,
            keys => stats.spent_bytes as f64 / keys as f64,
        };
        let seconds = |span: &Span| span.to_duration().as_secs_f64();
        let (mut bytes_at_end, mut bytes_a_day) = (None, None);
        if retention.is_forever() {
            bytes_a_day = Some(keys_a_second * DAY_SECONDS * log_a_key);
        } else if memory.is_forever() {
            bytes_a_day = Some(keys_a_second * DAY_SECONDS * spent_a_key);
        } else {
            let spent_for = (seconds(memory) - seconds(retention)).max(0.0);
            let a_key_a_second = seconds(retention) * log_a_key + spent_for * spent_a_key;
            bytes_at_end = Some(keys_a_second * a_key_a_second);
        }
        Some(Self { keys_a_second, log_a_key, spent_a_key, bytes_at_end, bytes_a_day })
    }

    fn fits(&self, observed: &Observed) -> Option<bool> {
        let now = (observed.stats.log_bytes + observed.stats.spent_bytes) as f64;
        let free = observed.stats.free_bytes? as f64;
        Some(self.bytes_at_end? <= now + free)
    }
}

fn size(bytes: f64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, one) in units {
        if bytes >= f64::from(one) {
            return format!("{:.1} {unit}", bytes / f64::from(one));
        }
    }
    format!("{bytes:.0} bytes")
}

fn length(seconds: f64) -> String {
    let units = [("d", DAY_SECONDS), ("h", 3600.0), ("min", 60.0)];
    for (unit, one) in units {
        if seconds >= 2.0 * one {
            return format!("{:.0} {unit}", seconds / one);
        }
    }
    format!("{seconds:.0} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Span = Span::from_secs(86_400);

    fn observed() -> Observed {
        let mut stats = Stats::default();
        (stats.begun, stats.keys, stats.log_bytes) = (7200, 10_000, 10_000_000);
        (stats.spent_keys, stats.spent_bytes, stats.free_bytes) = (100, 3200, Some(1 << 30));
        let over = Duration::from_secs(3600);
        Observed { stats, over, retention: DAY, memory: DAY.times(30) }
    }

    #[test]
    fn it_is_the_rate_times_what_a_key_takes_while_it_is_kept() {
        let told = numbers(&observed());
        assert_eq!(
            (&told["keys_a_second"], &told["log_bytes_a_key"]),
            (&2.0.into(), &1000.0.into())
        );
        let (day, spent_days) = (2.0 * 86_400.0, 29.0);
        let expected = day * 1000.0 + spent_days * day * 32.0;
        assert_eq!(told["bytes_at_end_of_memory"], json!(expected));
        assert_eq!((&told["fits"], &told["observed_seconds"]), (&true.into(), &3600.into()));
        let said = words(&observed());
        assert_eq!(
            said,
            "at 2.000 new keys a second, as observed over the last 60 min (7200 keys), keys take 317.7 MiB at the end of the memory window (30 d); 1.0 GiB are free"
        );
    }

    #[test]
    fn a_disk_that_will_not_do_is_told() {
        let mut tight = observed();
        tight.stats.free_bytes = Some(100 << 20);
        assert_eq!(numbers(&tight)["fits"], json!(false));
        assert!(words(&tight).ends_with("; only 100.0 MiB are free"));
    }

    #[test]
    fn what_is_kept_for_ever_grows_by_the_day() {
        let mut for_ever = observed();
        for_ever.memory = Span::FOREVER;
        let told = numbers(&for_ever);
        assert_eq!(told["bytes_at_end_of_memory"], Value::Null);
        assert_eq!(told["bytes_a_day_without_end"], json!(2.0 * 86_400.0 * 32.0));
        for_ever.retention = Span::FOREVER;
        assert_eq!(numbers(&for_ever)["bytes_a_day_without_end"], json!(2.0 * 86_400.0 * 1000.0));
    }

    #[test]
    fn spent_keys_are_assumed_until_one_is_there_and_it_is_said() {
        let mut young = observed();
        (young.stats.spent_keys, young.stats.spent_bytes) = (0, 0);
        let told = numbers(&young);
        assert_eq!(told["spent_bytes_a_key"], json!(31.0));
        assert_eq!(told["spent_bytes_are_measured"], json!(false));
        young.stats.begun = 0;
        assert_eq!(numbers(&young), Value::Null);
        assert!(words(&young).starts_with("no new key"));
    }
}
