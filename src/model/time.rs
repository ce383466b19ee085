//! Instants, and the NumericDate of RFC 7519 section 2.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::limits;

const NANOS_PER_S: u64 = 1_000_000_000;

/// A wall time: whole nanoseconds since 1970-01-01T00:00:00Z.
///
/// What lies beyond the year 2554 saturates to [`UnixNanos::FOREVER`], and a clock before 1970
/// reads as zero, so that nothing is forgotten early.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UnixNanos(u64);

impl UnixNanos {
    /// 1970-01-01T00:00:00Z.
    pub const ZERO: Self = Self(0);
    /// Later than any time.
    pub const FOREVER: Self = Self(u64::MAX);

    /// From nanoseconds since 1970.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since 1970.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_S))
    }

    /// Nanoseconds since 1970.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The whole second that this instant lies in.
    pub const fn secs_floor(self) -> u64 {
        self.0 / NANOS_PER_S
    }

    /// The first whole second that is not before this instant.
    pub const fn secs_ceil(self) -> u64 {
        self.0.div_ceil(NANOS_PER_S)
    }

    /// Nanoseconds past the whole second.
    pub const fn subsec_nanos(self) -> u32 {
        // A remainder of 10^9 fits.
        (self.0 % NANOS_PER_S) as u32
    }

    /// Whether this is [`Self::FOREVER`].
    pub const fn is_forever(self) -> bool {
        self.0 == u64::MAX
    }

    /// Whether it lies beyond the year 2200, where today's times lie when milliseconds are read as
    /// seconds.
    pub const fn looks_like_millis(self) -> bool {
        self.0 > limits::TIME_S_MAX.saturating_mul(NANOS_PER_S)
    }

    /// This instant and a while, at most for ever.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(duration)))
    }

    /// This instant less a while, at least 1970. For ever stays.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        if self.is_forever() {
            return self;
        }
        Self(self.0.saturating_sub(nanos_of(duration)))
    }

    /// How long ago `earlier` was; zero when it was not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// A NumericDate given as a double; `None` when it is not finite or negative.
    ///
    /// It is read by its shortest decimal text, so that 1700000000.1 is the same instant whether
    /// it came as a double or as text.
    pub fn from_numeric_date(seconds: f64) -> Option<Self> {
        if !seconds.is_finite() || seconds < 0.0 {
            return None;
        }
        let mut text = ShortText {
            bytes: [0; 40],
            len: 0,
        };
        // Digits beyond the buffer are far below a nanosecond: the text is cut, rounding down.
        let _cut = write!(text, "{seconds}");
        Self::from_decimal(text.as_str())
    }

    /// A NumericDate given as the text of a JSON number; `None` when it is negative or no number.
    /// Digits below a nanosecond are dropped.
    pub fn from_numeric_date_text(text: &str) -> Option<Self> {
        if text.contains(['e', 'E']) {
            return Self::from_numeric_date(text.parse().ok()?);
        }
        if let Some(zero) = text.strip_prefix('-') {
            return zero
                .bytes()
                .all(|byte| matches!(byte, b'0' | b'.'))
                .then_some(Self::ZERO);
        }
        Self::from_decimal(text)
    }

    fn from_decimal(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return None;
        }
        let seconds = whole.parse::<u64>().unwrap_or(u64::MAX);
        let nanos = fraction
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(9)
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        Some(Self(
            seconds.saturating_mul(NANOS_PER_S).saturating_add(nanos),
        ))
    }
}

impl fmt::Display for UnixNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp = i128::from(self.0);
        match jiff::Timestamp::from_nanosecond(timestamp) {
            Ok(time) if !self.is_forever() => write!(f, "{time}"),
            _ => f.write_str("never"),
        }
    }
}

/// Nanoseconds of a duration, at most the greatest `u64` (584 years).
pub fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A text of up to 40 bytes on the stack: the whole digits and nine of the fraction always fit
/// for instants before the year 2554.
struct ShortText {
    bytes: [u8; 40],
    len: usize,
}

impl ShortText {
    fn as_str(&self) -> &str {
        self.bytes
            .get(..self.len)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or("")
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let slot = self.bytes.get_mut(self.len).ok_or(fmt::Error)?;
            *slot = byte;
            self.len += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_date_is_the_same_instant_as_text_and_as_a_double() {
        for text in [
            "0",
            "1700000000",
            "1700000000.5",
            "1700000000.1",
            "1700000000.123456",
            "1.7e9",
            "0.000000001",
        ] {
            let from_text = UnixNanos::from_numeric_date_text(text).unwrap();
            let from_double = UnixNanos::from_numeric_date(text.parse().unwrap()).unwrap();
            assert_eq!(from_text, from_double, "{text}");
        }
        assert_eq!(
            UnixNanos::from_numeric_date_text("1700000000.1").unwrap(),
            UnixNanos::from_nanos(1_700_000_000_100_000_000)
        );
    }

    #[test]
    fn digits_below_a_nanosecond_are_dropped_so_that_a_token_never_looks_younger() {
        assert_eq!(
            UnixNanos::from_numeric_date_text("1.9999999999").unwrap(),
            UnixNanos::from_nanos(1_999_999_999)
        );
    }

    #[test]
    fn what_lies_too_far_in_the_future_is_for_ever() {
        for text in ["99999999999999999999999", "1e300", "253402300800000"] {
            assert!(
                UnixNanos::from_numeric_date_text(text)
                    .unwrap()
                    .is_forever(),
                "{text}"
            );
        }
        assert!(UnixNanos::from_numeric_date(f64::MAX).unwrap().is_forever());
    }

    #[test]
    fn negative_and_non_finite_dates_are_none() {
        for text in ["-1", "-0.5", "abc", "", "1e999", "-1e3"] {
            assert_eq!(UnixNanos::from_numeric_date_text(text), None, "{text}");
        }
        for value in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(UnixNanos::from_numeric_date(value), None);
        }
        assert_eq!(
            UnixNanos::from_numeric_date_text("-0"),
            Some(UnixNanos::ZERO)
        );
    }

    #[test]
    fn seconds_round_as_their_names_say() {
        let instant = UnixNanos::from_nanos(1_500_000_000);
        assert_eq!((instant.secs_floor(), instant.secs_ceil()), (1, 2));
        assert_eq!(UnixNanos::from_secs(2).secs_ceil(), 2);
    }
}
