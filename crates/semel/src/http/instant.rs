//! Points in time as text.

use semel_core::Timestamp;

const DAY_MS: u64 = 86_400_000;
/// 9999-12-31T23:59:59.999Z: RFC 3339 §5.6 has four digits for the year.
const LAST_MS: u64 = 253_402_300_799_999;

/// The time as RFC 3339 writes it, in UTC with milliseconds: `2025-06-15T15:06:40.000Z`.
///
/// Later than the year 9999, and so [`Timestamp::NEVER`] too, is written as the end of that year.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let ms = at.as_unix_ms().min(LAST_MS);
    let (year, month, day) = civil(ms / DAY_MS);
    let (of_day, thousandths) = (ms % DAY_MS / 1000, ms % 1000);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{thousandths:03}Z")
}

/// Year, month and day of the Gregorian calendar, from days since 1970-01-01.
///
/// Counted in 400-year eras that begin on the first of March, so that the leap day is the last of
/// its year and the length of a month follows from its number.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468; // from 0000-03-01
    const ERA_DAYS: u64 = 146_097;
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_are_written_as_rfc_3339_writes_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_750_000_000_000, "2025-06-15T15:06:40.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_unix_ms(ms)), text);
        }
    }
}
