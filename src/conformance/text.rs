//! Times and placeholders in a case's texts.
//!
//! A time is relative to the start of the case (`+0`, `-1.5`, `+30d`), to now (`now`, `now-60s`), to
//! the `not_before` of the last receipt (`not_before`) or to 1970 (`@+0`). `<run>`, `<iss>`, `<n>`, `<x*1024>` and
//! `<+30d>` inside a text stand for what differs from run to run.

const NANOS_PER_S: i128 = 1_000_000_000;

/// What times and placeholders are filled in from.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Unique to this run of this case.
    pub(super) run: String,
    /// The case's own issuer.
    pub(super) iss: String,
    /// The whole second in which the case began, in nanoseconds.
    pub(super) start: i128,
    /// The wall clock.
    pub(super) now: i128,
    /// Of the last receipt that had one.
    pub(super) not_before: Option<i128>,
    /// Which repetition this is.
    pub(super) n: u32,
}

impl Frame {
    /// A time in nanoseconds since 1970; `None` when the text is none.
    pub(super) fn time(&self, text: &str) -> Option<i128> {
        let (base, rest) = if let Some(rest) = text.strip_prefix("now") {
            (self.now, rest)
        } else if let Some(rest) = text.strip_prefix("not_before") {
            (self.not_before?, rest)
        } else if let Some(rest) = text.strip_prefix('@') {
            (0, rest)
        } else if text.starts_with(['+', '-']) {
            (self.start, text)
        } else {
            return None;
        };
        Some(base + offset(rest)?)
    }

    /// A time, which this text must be.
    pub(super) fn must_time(&self, text: &str) -> Result<i128, String> {
        self.time(text).ok_or_else(|| {
            format!("{text:?} is no time: write +0, -1.5, +30d, now, now-60s or not_before")
        })
    }

    /// The text with its placeholders filled in.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            let (name, after) = after
                .split_once('>')
                .ok_or_else(|| format!("{text:?} has a < without its >"))?;
            expanded.push_str(before);
            expanded.push_str(&self.placeholder(name)?);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn placeholder(&self, name: &str) -> Result<String, String> {
        match name {
            "run" => return Ok(self.run.clone()),
            "iss" => return Ok(self.iss.clone()),
            "n" => return Ok(self.n.to_string()),
            _ => {}
        }
        if let Some((what, times)) = name.split_once('*')
            && let Ok(times) = times.parse()
        {
            return Ok(what.repeat(times));
        }
        self.time(name)
            .map(seconds_text)
            .ok_or_else(|| format!("<{name}> is no placeholder"))
    }
}

/// The sum of parts such as `+30d` and `-1.5`.
fn offset(text: &str) -> Option<i128> {
    let mut sum = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let sign = if rest.starts_with('+') { 1 } else { -1 };
        rest = rest.strip_prefix(['+', '-'])?;
        let end = rest.find(['+', '-']).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        sum += sign * span(part)?;
        rest = after;
    }
    Some(sum)
}

/// A span in nanoseconds: seconds, or a number with the unit s, m, h or d.
pub(super) fn span(text: &str) -> Option<i128> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(unit.unwrap_or(text.len()));
    let scale = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    Some((whole * NANOS_PER_S + fraction) * scale)
}

/// Seconds as a JSON number, with only as many digits as it needs.
pub(super) fn seconds_text(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.abs();
    let (whole, fraction) = (nanos / NANOS_PER_S, nanos % NANOS_PER_S);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{fraction:09}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

/// A timestamp of the API.
pub(super) fn timestamp(nanos: i128) -> Result<prost_types::Timestamp, String> {
    let fault = |_| "the time is out of range".to_owned();
    Ok(prost_types::Timestamp {
        seconds: i64::try_from(nanos.div_euclid(NANOS_PER_S)).map_err(fault)?,
        nanos: i32::try_from(nanos.rem_euclid(NANOS_PER_S)).map_err(fault)?,
    })
}

/// The nanoseconds of a timestamp of the API.
pub(super) fn nanos(time: &prost_types::Timestamp) -> i128 {
    i128::from(time.seconds) * NANOS_PER_S + i128::from(time.nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            run: "r".to_owned(),
            iss: "i".to_owned(),
            start: 100 * NANOS_PER_S,
            now: 100 * NANOS_PER_S + 250_000_000,
            not_before: None,
            n: 3,
        }
    }

    #[test]
    fn times_are_relative() {
        for (text, seconds) in [
            ("+0", "100"),
            ("-0.5", "99.5"),
            ("+1d+10m", "87100"),
            ("now", "100.25"),
            ("now-0.25", "100"),
            ("now-101", "-0.75"),
            ("@+5", "5"),
        ] {
            assert_eq!(
                frame().time(text).map(seconds_text).as_deref(),
                Some(seconds),
                "{text}"
            );
        }
        for text in [
            "",
            "100",
            "not_before",
            "+1x",
            "+",
            "later",
            "now5",
            "+1.5.5",
        ] {
            assert_eq!(frame().time(text), None, "{text}");
        }
    }

    #[test]
    fn placeholders_are_filled_in_and_others_are_a_fault() {
        let expanded = frame().expand("<run>/<iss>-<n> <ab*2> {<+0.5>}");
        assert_eq!(expanded.as_deref(), Ok("r/i-3 abab {100.5}"));
        assert!(frame().expand("<what>").is_err());
        assert!(frame().expand("a < b").is_err());
    }
}
