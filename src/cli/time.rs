//! Times on the command line and in what is shown.

use std::{str::FromStr, time::Duration};

use prost_types::Timestamp;

use crate::model::UnixNanos;

/// A time as people write it: `now`, RFC 3339, seconds since 1970, or from now on (`+1h`, `-5m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// The very moment; where the server can say when that is, it does.
    Now,
    /// A fixed time.
    At(UnixNanos),
    /// That long from now.
    In(Duration),
    /// That long ago.
    Ago(Duration),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |problem: &str| {
            format!(
                "{problem}; give now, a time such as 2030-01-31T12:00:00Z, seconds since 1970, or \
                 a time from now such as -5m or +1h"
            )
        };
        let relative = |text: &str| {
            humantime::parse_duration(text)
                .map_err(|error| wrong(&format!("{text:?} is not a duration ({error})")))
        };
        if text == "now" {
            return Ok(Self::Now);
        }
        if let Some(later) = text.strip_prefix('+') {
            return relative(later).map(Self::In);
        }
        if let Some(ago) = text.strip_prefix('-') {
            return relative(ago).map(Self::Ago);
        }
        if text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
            && let Some(at) = UnixNanos::from_numeric_date_text(text)
        {
            return not_in_millis(at).map(Self::At);
        }
        let at: jiff::Timestamp = text
            .parse()
            .map_err(|_error| wrong(&format!("{text:?} is not a time")))?;
        let at = u64::try_from(at.as_nanosecond())
            .map_err(|_error| wrong(&format!("{text:?} is before 1970 or after 2554")))?;
        not_in_millis(UnixNanos::from_nanos(at)).map(Self::At)
    }
}

/// Seconds beyond the year 2200 are milliseconds, and would mean for ever.
fn not_in_millis(at: UnixNanos) -> Result<UnixNanos, String> {
    if at.looks_like_millis() {
        return Err(
            "it lies beyond the year 2200: numbers are seconds since 1970, not milliseconds"
                .to_owned(),
        );
    }
    Ok(at)
}

impl When {
    /// The instant that is meant when it is `now`.
    pub(super) fn instant(self, now: UnixNanos) -> UnixNanos {
        match self {
            Self::Now => now,
            Self::At(instant) => instant,
            Self::In(duration) => now.plus(duration),
            Self::Ago(duration) => now.minus(duration),
        }
    }

    /// The same as a message of the API.
    pub(super) fn timestamp(self, now: UnixNanos) -> Timestamp {
        let instant = self.instant(now);
        Timestamp {
            seconds: i64::try_from(instant.secs_floor()).unwrap_or(i64::MAX),
            nanos: i32::try_from(instant.subsec_nanos()).unwrap_or_default(),
        }
    }

    /// The same as a NumericDate. A double holds today's seconds to less than a microsecond.
    pub(super) fn numeric_date(self, now: UnixNanos) -> f64 {
        let instant = self.instant(now);
        Duration::from_nanos(instant.nanos()).as_secs_f64()
    }
}

/// RFC 3339, in UTC.
pub(super) fn rfc3339(time: &Timestamp) -> String {
    match jiff::Timestamp::new(time.seconds, time.nanos) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{}s since 1970", time.seconds),
    }
}

/// A duration as a message of the API.
pub(super) fn to_proto(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now = UnixNanos::from_secs(1_700_000_000);
        for (text, expected) in [
            ("now", 1_700_000_000_000),
            ("+1h", 1_700_003_600_000),
            ("-5m", 1_699_999_700_000),
            ("+1h30m", 1_700_005_400_000),
            ("1700000001", 1_700_000_001_000),
            ("1700000001.5", 1_700_000_001_500),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14T23:13:20.250+01:00", 1_700_000_000_250),
        ] {
            let when: When = text.parse().unwrap();
            assert_eq!(when.instant(now).nanos() / 1_000_000, expected, "{text}");
        }
    }

    #[test]
    fn milliseconds_are_no_seconds() {
        for text in ["1700000000000", "7258118401", "2200-01-01T00:00:00.001Z"] {
            let error = text.parse::<When>().unwrap_err();
            assert!(error.contains("milliseconds"), "{text}: {error}");
        }
        for text in ["7258118400", "2200-01-01T00:00:00Z"] {
            let when: When = text.parse().unwrap();
            assert_eq!(when, When::At(UnixNanos::from_secs(limits::TIME_S_MAX)));
        }
    }

    #[test]
    fn what_is_no_time_is_answered_with_examples() {
        for text in [
            "",
            "tomorrow",
            "+",
            "-x",
            "2023-11-14",
            "1969-01-01T00:00:00Z",
            "+1",
        ] {
            let error = text.parse::<When>().unwrap_err();
            assert!(error.contains("seconds since 1970"), "{text}: {error}");
        }
    }

    #[test]
    fn times_go_to_the_api_and_come_back() {
        let when: When = "2023-11-14T22:13:20.5Z".parse().unwrap();
        let timestamp = when.timestamp(UnixNanos::ZERO);
        assert_eq!(
            (timestamp.seconds, timestamp.nanos),
            (1_700_000_000, 500_000_000)
        );
        assert_eq!(rfc3339(&timestamp), "2023-11-14T22:13:20.5Z");
        assert!((when.numeric_date(UnixNanos::ZERO) - 1_700_000_000.5).abs() < 1e-6);
    }
}
