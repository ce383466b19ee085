//! `docs/limits.md` says what `src/limits.rs` says.

use std::{collections::BTreeMap, time::Duration};

use rescind::limits;

use super::read;

/// What a bound is compared by: a number, or nanoseconds.
trait Bound {
    fn value(&self) -> u128;
}

impl Bound for usize {
    fn value(&self) -> u128 {
        *self as u128
    }
}

impl Bound for u32 {
    fn value(&self) -> u128 {
        u128::from(*self)
    }
}

impl Bound for u64 {
    fn value(&self) -> u128 {
        u128::from(*self)
    }
}

impl Bound for Duration {
    fn value(&self) -> u128 {
        self.as_nanos()
    }
}

macro_rules! bounds {
    ($($name:ident)*) => {
        BTreeMap::from([$((stringify!($name).to_owned(), limits::$name.value())),*])
    };
}

fn bounds() -> BTreeMap<String, u128> {
    bounds![
        TOKEN_BYTES_DEFAULT TOKEN_BYTES_MAX TOKEN_BYTES_MIN MEMBER_NAME_SHOWN_MAX
        IDENTIFIER_BYTES_MAX COMMENT_BYTES_MAX TIME_S_MAX SHARED_JTIS_WAITING_MAX SHARED_JTI_LOGGED_EVERY
        BATCH_MAX DEADLINE_MARGIN STREAM_QUESTIONS_MAX EXCEPTIONS_MAX
        OTHER_CLAIMS_MAX CLAIM_VALUES_MAX JSON_DEPTH_MAX MESSAGE_BYTES_MAX
        PAGE_SIZE_MAX PAGE_SIZE_DEFAULT PAGE_BYTES_MAX PAGE_SCAN_MAX
        WATCH_BATCH_RECORDS_MAX WATCH_BATCH_BYTES_MAX WATCH_ISSUERS_MAX WATCHERS_MAX
        HEARTBEAT_MIN HEARTBEAT_MAX HEARTBEAT_DEFAULT TAIL_RECORDS_MAX TAIL_BYTES_MAX
        REQUEST_ID_KEPT REQUEST_IDS_MAX REQUESTS_FORGOTTEN_MAX WRITE_QUEUE_MAX GROUP_COMMIT_MAX SWEEP_SLICE_MAX
        EXPIRY_BUCKET_S JOURNAL_CACHE_BYTES BOOTS_MAX
        LEEWAY_MAX LEEWAY_DEFAULT TOKEN_LIFETIME_DEFAULT SESSION_LIFETIME_DEFAULT LIFETIME_MAX
        FORGET_GRACE_DEFAULT SWEEP_INTERVAL_DEFAULT SWEEP_INTERVAL_MIN SWEEP_INTERVAL_MAX
        SWEEP_SETTLE_DEFAULT SWEEP_SETTLE_MAX LIVE_MAX LIVE_DEFAULT LIVE_RESERVE_DIVISOR
        CLOCK_JUMP_MAX CLOCK_GAP_MAX CLOCK_JOURNAL_INTERVAL CLOCK_ACCEPT_MAX CLOCK_LEAD_KEPT CLOCK_LEAD_STEP CLOCK_LEAD_DELAY
        CLOCK_LEADS_PER_MESSAGE
        ISSUERS_SEEN_MAX ISSUERS_CONFIGURED_MAX
        JWKS_BYTES_MAX JWKS_KEYS_MAX KEYS_TRIED_MAX RSA_BITS_MIN RSA_BITS_MAX VERIFIED_TOKENS_MAX
        KEY_FILE_BYTES_MAX JWKS_REFRESH_MIN JWKS_REFRESH_MAX JWKS_REFRESH_DEFAULT
        JWKS_RETRY JWKS_UNKNOWN_KID_FETCHES JWKS_MISFIT_FETCHES JWKS_UNKNOWN_KID_PERIOD
        JWKS_FETCH_TIMEOUT JWKS_WAIT_MAX JWKS_REDIRECTS_MAX
        DRAIN_MAX STREAMS_PER_CONNECTION_MAX HEADER_BYTES_MAX
        KEEPALIVE_INTERVAL KEEPALIVE_TIMEOUT
        CONTEXT_MAX FLOORS_MAX CLOCKS_APART_MAX JOIN_TIMEOUT_DEFAULT JOIN_TIMEOUT_MAX
        JOIN_POLL STALENESS_MAX UPSTREAMS_MAX PEER_HEARTBEAT
        PEER_SILENCE_MAX PEER_SILENCE_LOOKS PEER_CONNECT_TIMEOUT PEER_CALL_TIMEOUT PEER_BACKOFF_MIN
        PEER_BACKOFF_MAX PEER_EAGER_INTERVAL PEER_WINDOW_BYTES MERGE_RECORDS_MAX MERGE_BYTES_MAX REFUSED_AGAIN
        KNOWN_STATES_MAX RELAY_PATIENCE ACK_PATIENCE ACK_INTERVAL_MIN ACK_INTERVAL_MAX NONCES_MAX
        DNS_INTERVAL DNS_LACKED ITSELF_INTERVAL FOLLOWER_KEPT FOLLOWERS_KEPT_INTERVAL FOLLOWERS_KEPT_PATIENCE
        FOLLOWERS_MAX
        PENDING_NAMED_MAX CLONE_OVERLAP WAIT_FOR_DEFAULT WAIT_FOR_MAX
        HUB_ASKED_MAX HUB_ANSWER_MARGIN MERGE_MESSAGES_MAX OUTBOX_PATIENCE OUTBOX_READY_PATIENCE
        OUTBOX_READY_PATIENCE_MAX SEQ_PAGES_MAX
        DIGESTS_INTERVAL DIGESTS_YOUNG DIGESTS_OLD DIGESTS_AGAIN DIGESTS_REST_FACTOR DIGESTS_TRIES
        COMPARE_WAIT_MAX
    ]
}

/// The rows of the page: name and value.
fn documented() -> BTreeMap<String, u128> {
    let page = read("docs/limits.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = cells.next().unwrap().trim_end_matches('`').to_owned();
        let value = cells.next().unwrap();
        (name, parse(value))
    })
    .collect()
}

/// `1,000`, `16 KiB`, `64 bytes`, `10m`.
fn parse(value: &str) -> u128 {
    let (number, unit) = value.split_once(' ').unwrap_or((value, "bytes"));
    if let Ok(number) = number.replace(',', "").parse::<u128>() {
        return number
            * match unit {
                "bytes" => 1,
                "KiB" => 1 << 10,
                "MiB" => 1 << 20,
                other => panic!("docs/limits.md: {other} is no unit"),
            };
    }
    humantime::parse_duration(value)
        .unwrap_or_else(|error| panic!("docs/limits.md: {value}: {error}"))
        .value()
}

#[test]
fn the_page_of_bounds_says_what_the_code_says() {
    assert_eq!(documented(), bounds(), "docs/limits.md, then src/limits.rs");
}

#[test]
fn every_bound_is_compared_with_the_page() {
    let source = read("src/limits.rs");
    let declared: Vec<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split(':').next())
        .collect();
    let compared = bounds();
    for name in &declared {
        assert!(compared.contains_key(*name), "add {name} to bounds! above");
    }
    assert_eq!(declared.len(), compared.len());
}
