//! Every bound in one place, each with its reason.
//!
//! A bound that can be met from outside has a clear error one past it; `docs/limits.md` lists them.

use std::time::Duration;

/// `max_token_bytes` when none is configured. Proxies cap request headers at 8–16 KiB, so hardly any
/// token is longer.
pub const TOKEN_BYTES_DEFAULT: usize = 16 * 1024;
/// The longest compact JWS that can be configured. It bounds members and elements of a token too.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// The shortest `max_token_bytes`: below it no signed token fits.
pub const TOKEN_BYTES_MIN: usize = 256;

/// One identifier: `iss jti sub sid client_id kid`, a claim's name or value, a request id, a
/// watcher's name. RFC 7519 sets none; this is ten times what issuers use.
pub const IDENTIFIER_BYTES_MAX: usize = 1024;

/// A comment on a revocation: a sentence or two for the people who read it later.
pub const COMMENT_BYTES_MAX: usize = 1024;

/// Seconds: 2200-01-01T00:00:00Z. A later `exp`, `expires_at` or cut-off is milliseconds, and would keep a
/// revocation for ever; a token's is told so.
pub const TIME_S_MAX: u64 = 7_258_118_400;

/// Targets in one write and checks in one batch: what one transaction or one answer can carry
/// without holding up its neighbours.
pub const BATCH_MAX: usize = 1_000;

/// How long before a call's own deadline it is ended: tonic's timer would say CANCELLED.
pub const DEADLINE_MARGIN: Duration = Duration::from_millis(2);

/// Messages of one CheckStream that are judged at once: enough to keep the stream busy while the comment
/// of a denial is read, few enough that one caller holds little.
pub const STREAM_QUESTIONS_MAX: usize = 64;

/// Exceptions of one request, `sid` and `jti` together: "all my other devices" spares one.
pub const EXCEPTIONS_MAX: usize = 16;

/// Entries of `Claims.other`.
pub const OTHER_CLAIMS_MAX: usize = 16;

/// Values of one revocable claim that is an array: each is looked up. People with many groups have
/// hundreds.
pub const CLAIM_VALUES_MAX: usize = 1_024;

/// Nesting of arrays and objects inside a token: claims of real issuers stay below ten.
pub const JSON_DEPTH_MAX: usize = 32;

/// Characters of a member's name that an error shows.
pub const MEMBER_NAME_SHOWN_MAX: usize = 64;

/// A gRPC message that comes in: a full batch of tokens of the default length fits.
pub const MESSAGE_BYTES_MAX: usize = (BATCH_MAX + 16) * (TOKEN_BYTES_DEFAULT + 64);

/// Writers in the state of one target: each node's run that wrote of it leaves one behind until what
/// it wrote has run out. Far beyond what people write of one user, and a bound on what a peer can
/// send.
pub const CONTEXT_MAX: usize = 16 * 1024;
/// Exceptions in one entry: those of every request that it joined.
pub const FLOORS_MAX: usize = 16 * 1024;

/// Revocations that Check found to be kept too short and the writer has yet to see to, a few hundred
/// bytes each. What does not fit is found again by the next Check.
pub const SHARED_JTIS_WAITING_MAX: usize = 4_096;
/// How often a log line says that the tokens of an issuer share a `jti`.
pub const SHARED_JTI_LOGGED_EVERY: Duration = Duration::from_secs(3_600);

/// Records of one page of `ListRevocations`.
pub const PAGE_SIZE_MAX: usize = 1_000;
/// Records of a page when none is asked for.
pub const PAGE_SIZE_DEFAULT: usize = 100;
/// Bytes of the records of one page, about, before a short page is answered: gRPC clients take
/// messages of up to 4 MiB unless told otherwise, and one record is far below the rest of that.
pub const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Records looked at for one page before a short page is answered: bounds the time of a call.
pub const PAGE_SCAN_MAX: usize = 50_000;

/// Records of one message of a watch.
pub const WATCH_BATCH_RECORDS_MAX: usize = 512;
/// Bytes of the records of one message of a watch, about; the first record always fits.
pub const WATCH_BATCH_BYTES_MAX: usize = 256 * 1024;
/// Issuers in a watch's filter.
pub const WATCH_ISSUERS_MAX: usize = 64;
/// Watches open at once on one node.
pub const WATCHERS_MAX: usize = 10_000;
/// The shortest heartbeat interval: faster tells nothing more and costs each watcher.
pub const HEARTBEAT_MIN: Duration = Duration::from_millis(200);
/// The longest heartbeat interval: middleboxes drop silent connections after a minute or more.
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(60);
/// The heartbeat interval when none is asked for.
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(5);

/// Records that the feed keeps in memory for watchers that are nearly up to date.
pub const TAIL_RECORDS_MAX: usize = 16 * 1024;
/// Bytes of their rows in the journal; in memory they take up to four times as much.
pub const TAIL_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long a `request_id` is remembered: longer than any client's retries.
pub const REQUEST_ID_KEPT: Duration = Duration::from_secs(600);
/// How many request ids are remembered, oldest out first.
pub const REQUEST_IDS_MAX: u64 = 1_000_000;
/// Answered requests that one write forgets, so that none pays for a busy time before it.
pub const REQUESTS_FORGOTTEN_MAX: usize = 8;

/// Writes that wait for the journal; one more waits at the caller.
pub const WRITE_QUEUE_MAX: usize = 4_096;
/// Writes in one transaction: enough to amortise the sync, few enough to keep the wait short.
pub const GROUP_COMMIT_MAX: usize = 1_024;
/// Records that one sweep transaction forgets, so that writes get their turn in between.
pub const SWEEP_SLICE_MAX: usize = 4_096;
/// The width of an expiry bucket, in seconds: what expires together is swept together.
pub const EXPIRY_BUCKET_S: u64 = 10;

/// Memory for pages of the journal: the hot part of its trees; the rest is the page cache.
pub const JOURNAL_CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Boots remembered for cursors; a cursor of an older one leads to a RESET, which is harmless.
pub const BOOTS_MAX: usize = 1_024;

/// The greatest leeway (RFC 7519 section 4.1.4: "usually no more than a few minutes").
pub const LEEWAY_MAX: Duration = Duration::from_secs(300);
/// Leeway when none is configured.
pub const LEEWAY_DEFAULT: Duration = Duration::from_secs(60);
/// `max_token_lifetime` when none is configured.
pub const TOKEN_LIFETIME_DEFAULT: Duration = Duration::from_secs(30 * 86_400);
/// `max_session_lifetime` when none is configured.
pub const SESSION_LIFETIME_DEFAULT: Duration = Duration::from_secs(366 * 86_400);
/// The longest lifetime that can be configured; beyond it say "unlimited".
pub const LIFETIME_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);
/// `forget_grace` when none is configured.
pub const FORGET_GRACE_DEFAULT: Duration = Duration::from_secs(600);
/// `sweep_interval` when none is configured.
pub const SWEEP_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
/// The shortest `sweep_interval`: each sweep takes a turn of the journal from the writes.
pub const SWEEP_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// The longest `sweep_interval`: what is forgotten late fills memory and the quota.
pub const SWEEP_INTERVAL_MAX: Duration = Duration::from_secs(3_600);
/// `sweep_settle` when none is configured.
pub const SWEEP_SETTLE_DEFAULT: Duration = Duration::from_secs(600);
/// The longest `sweep_settle`: a node that restarts daily must still get to forget.
pub const SWEEP_SETTLE_MAX: Duration = Duration::from_secs(6 * 3_600);
/// The greatest `max_live`: at about 100 bytes each, far beyond any machine's memory.
pub const LIVE_MAX: u64 = 100_000_000_000;
/// `max_live` when none is configured.
pub const LIVE_DEFAULT: u64 = 10_000_000;
/// The part of `max_live` kept free for keys, issuers, clients, claims and `all` on users: 1/10.
pub const LIVE_RESERVE_DIVISOR: u64 = 10;

/// A jump of the wall clock against the steady clock beyond this stops the sweeper.
pub const CLOCK_JUMP_MAX: Duration = Duration::from_secs(60);
/// A start this long after the last journaled time stops the sweeper.
pub const CLOCK_GAP_MAX: Duration = Duration::from_secs(86_400);
/// How often an idle node journals the time, so that a quiet day is not taken for a gap.
pub const CLOCK_JOURNAL_INTERVAL: Duration = Duration::from_secs(3_600);
/// How far from the wall clock the time may be at which a person accepted it.
pub const CLOCK_ACCEPT_MAX: Duration = Duration::from_secs(3_600);
/// How long an issuer's greatest lead over our clock counts.
pub const CLOCK_LEAD_KEPT: Duration = Duration::from_secs(86_400);
/// Leads are rounded up to this: else every token that is a little further ahead than those before
/// would be written down and told to every follower.
pub const CLOCK_LEAD_STEP: Duration = Duration::from_millis(100);
/// How long leads are gathered before they are written, and told to a follower again. Well below a
/// heartbeat: a token that was ACTIVE that long ago must be within the next "now".
pub const CLOCK_LEAD_DELAY: Duration = Duration::from_millis(100);
/// Leads in one message between nodes: with issuers of 1 KiB about 64 KiB.
pub const CLOCK_LEADS_PER_MESSAGE: usize = 64;
const _: () = assert!(CLOCK_LEAD_DELAY.as_millis() * 4 < PEER_HEARTBEAT.as_millis());

/// Issuers whose tokens are remembered as seen; in unverified mode anybody can invent one.
pub const ISSUERS_SEEN_MAX: usize = 1_024;
/// Issuers that can be configured.
pub const ISSUERS_CONFIGURED_MAX: usize = 1_024;

/// Bytes of a key set: a hundred RSA keys with certificate chains fit.
pub const JWKS_BYTES_MAX: usize = 512 * 1024;
/// Keys of a key set.
pub const JWKS_KEYS_MAX: usize = 100;
/// Keys tried on a token that names none: each try costs a signature check.
pub const KEYS_TRIED_MAX: usize = 8;
/// The weakest RSA key (RFC 7518 section 3.3).
pub const RSA_BITS_MIN: usize = 2_048;
/// The largest RSA key: checking grows with the square.
pub const RSA_BITS_MAX: usize = 8_192;
/// Good signatures remembered: about 10 MB.
pub const VERIFIED_TOKENS_MAX: usize = 100_000;
/// Bytes of a file with a key or a secret.
pub const KEY_FILE_BYTES_MAX: u64 = JWKS_BYTES_MAX as u64;
/// The shortest time between two planned fetches of a key set, whatever its cache headers say.
pub const JWKS_REFRESH_MIN: Duration = Duration::from_secs(60);
/// The longest time between two planned fetches: a key taken out counts no longer than that.
pub const JWKS_REFRESH_MAX: Duration = Duration::from_secs(3_600);
/// The time between two planned fetches when the answer says nothing of it.
pub const JWKS_REFRESH_DEFAULT: Duration = Duration::from_secs(600);
/// The time between two tries while the last one failed.
pub const JWKS_RETRY: Duration = Duration::from_secs(10);
/// Fetches for tokens with an unknown `kid`, in each [`JWKS_UNKNOWN_KID_PERIOD`]: anybody can invent
/// one, and a rotation must find one left.
pub const JWKS_UNKNOWN_KID_FETCHES: usize = 3;
/// Fetches for tokens whose signature does not fit the key that they name, in each
/// [`JWKS_UNKNOWN_KID_PERIOD`]: anybody can forge one, and a key replaced under its name must be found.
pub const JWKS_MISFIT_FETCHES: usize = 3;
/// See [`JWKS_UNKNOWN_KID_FETCHES`].
pub const JWKS_UNKNOWN_KID_PERIOD: Duration = Duration::from_secs(30);
/// How long a fetch may take.
pub const JWKS_FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a Check waits for a fetch.
pub const JWKS_WAIT_MAX: Duration = Duration::from_secs(2);
/// Redirects followed in one fetch, on the same host only.
pub const JWKS_REDIRECTS_MAX: usize = 3;

/// How far the clocks of nodes that follow each other may be apart: `forget_grace` covers it.
pub const CLOCKS_APART_MAX: Duration = Duration::from_secs(300);
/// How long a node waits to join before `join` decides, when `join_timeout` is not configured.
pub const JOIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// The longest `join_timeout`.
pub const JOIN_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// How often a node that joins looks whether it is ready.
pub const JOIN_POLL: Duration = Duration::from_millis(20);
/// The greatest `max_staleness`: beyond that leave it out.
pub const STALENESS_MAX: Duration = Duration::from_secs(86_400);
/// Entries of `peer` and of `hub`, and addresses of one name: a mesh is for up to 16 nodes.
pub const UPSTREAMS_MAX: usize = 64;
/// How often a follower asks to be told of life, and sends a nonce.
pub const PEER_HEARTBEAT: Duration = Duration::from_secs(1);
/// How long not a byte may come from an upstream that is followed before it is connected to anew.
pub const PEER_SILENCE_MAX: Duration = Duration::from_secs(5);
/// How often that is looked at in between.
pub const PEER_SILENCE_LOOKS: u32 = 20;
/// How long a connection to an upstream may take.
pub const PEER_CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long a call to an upstream may take to be answered, and its first message to come: slow
/// links have to work too.
pub const PEER_CALL_TIMEOUT: Duration = Duration::from_secs(45);
/// Connecting anew: at first within this, at random, then within twice as long and so on.
pub const PEER_BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Connecting anew: at last within this.
pub const PEER_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How often a watch is asked for on a new connection while an answer to the first is still awaited.
pub const PEER_EAGER_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes that may wait unread of what one upstream sends.
pub const PEER_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Records of an upstream that are merged in one transaction, about.
pub const MERGE_RECORDS_MAX: usize = 8 * 1024;
/// Bytes of an upstream's records that are merged in one transaction, about: a record with many writers
/// and exceptions is large, and all of them wait in memory.
pub const MERGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long after records of an upstream that could not be read they are read again: they may have been
/// written anew, and reading takes all that has come since.
pub const REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// Merged states of which it is remembered that they were merged: about 5 MB.
pub const KNOWN_STATES_MAX: usize = 64 * 1024;
/// How long a node keeps what it has from one peer before it tells another: in a mesh that one
/// usually has it already.
pub const RELAY_PATIENCE: Duration = Duration::from_millis(20);
/// How long a follower waits before it acknowledges what was no news to it.
pub const ACK_PATIENCE: Duration = Duration::from_millis(20);
/// The shortest time between two acknowledgements of a follower.
pub const ACK_INTERVAL_MIN: Duration = Duration::from_millis(2);
/// The longest pause between two acknowledgements, however slow the upstream is.
pub const ACK_INTERVAL_MAX: Duration = Duration::from_millis(100);
/// Nonces of which a follower remembers when it sent them.
pub const NONCES_MAX: usize = 64;
/// How often names of upstreams are resolved.
pub const DNS_INTERVAL: Duration = Duration::from_secs(5);
/// How long successful answers must lack an address before it no longer counts.
pub const DNS_LACKED: Duration = Duration::from_secs(300);
/// How long an address that was this node itself is left alone.
pub const ITSELF_INTERVAL: Duration = Duration::from_secs(30);
/// How long a follower that is gone is waited for by `all_followers`.
pub const FOLLOWER_KEPT: Duration = Duration::from_secs(86_400);
/// Followers that are remembered, whether or not they are connected.
pub const FOLLOWERS_MAX: usize = 2 * WATCHERS_MAX;
/// How often it is noted who follows.
pub const FOLLOWERS_KEPT_INTERVAL: Duration = Duration::from_secs(600);
/// How long after somebody new came that is noted: after an outage thousands come together. Who
/// came just before a crash comes again, unless it crashed too.
pub const FOLLOWERS_KEPT_PATIENCE: Duration = Duration::from_secs(1);
/// Followers that an answer names as pending.
pub const PENDING_NAMED_MAX: usize = 100;
/// How long after another run of the same node began to watch an older run must still be speaking
/// before both are taken for clones: of a process that was just killed a word may be on its way.
pub const CLONE_OVERLAP: Duration = Duration::from_secs(2);
/// How long `wait_for` waits when its timeout is not given.
pub const WAIT_FOR_DEFAULT: Duration = Duration::from_secs(5);
/// The longest `wait_for`.
pub const WAIT_FOR_MAX: Duration = Duration::from_secs(60);
/// Waiting writes of a leaf that ask one hub at a time: the others find out what it has, and not who
/// else does.
pub const HUB_ASKED_MAX: usize = 256;
/// How much earlier than its caller's end a hub is asked to answer, so that the answer is not late.
pub const HUB_ANSWER_MARGIN: Duration = Duration::from_millis(250);
/// Messages of one `MergeRecords` call, of 256 KiB each: over a slow link it has to end in time.
pub const MERGE_MESSAGES_MAX: usize = 4;
/// How long a leaf keeps what others wrote before handing it up: usually its hub has it already.
pub const OUTBOX_PATIENCE: Duration = Duration::from_secs(1);
/// How long a leaf waits for a hub to send what it has, and to be ready, before it hands up what
/// others wrote: as long as records come, this counts from the last of them.
pub const OUTBOX_READY_PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits for that at most, however much comes.
pub const OUTBOX_READY_PATIENCE_MAX: Duration = Duration::from_secs(600);
/// Pages of 1,024 row numbers in a set of them: of what a leaf knows each of its hubs to have, and of
/// what came to a node first; 33 million that stand together.
pub const SEQ_PAGES_MAX: usize = 32 * 1024;
/// How often digests are compared with an upstream.
pub const DIGESTS_INTERVAL: Duration = Duration::from_secs(600);
/// What was written more recently than this is left out of digests: it may be on its way.
pub const DIGESTS_YOUNG: Duration = Duration::from_secs(60);
/// What runs out sooner than this is left out of digests: some have forgotten it already.
pub const DIGESTS_OLD: Duration = Duration::from_secs(3_600);
/// The time between two looks at ranges that differ.
pub const DIGESTS_AGAIN: Duration = Duration::from_secs(30);
/// How many times as long as making digests took a node rests from it: a hub has thousands of leaves.
pub const DIGESTS_REST_FACTOR: u32 = 4;
/// How often digests are asked for while the other node makes those of somebody else, at random times
/// within [`DIGESTS_AGAIN`] of each other, before the next interval is waited for.
pub const DIGESTS_TRIES: u32 = 4;
/// How long `rescind status --compare` waits for digests to be compared.
pub const COMPARE_WAIT_MAX: Duration = Duration::from_secs(120);

/// How long a drain may take before what is left is cut.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Concurrent HTTP/2 streams of one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;
/// Bytes of one request's headers.
pub const HEADER_BYTES_MAX: u32 = 32 * 1024;
/// How often a silent connection is pinged.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long a ping may go unanswered before the connection is cut.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

const _: () = {
    assert!(FORGET_GRACE_DEFAULT.as_secs() >= 2 * LEEWAY_MAX.as_secs());
    assert!(HEARTBEAT_MIN.as_millis() <= HEARTBEAT_DEFAULT.as_millis());
    assert!(HEARTBEAT_DEFAULT.as_millis() <= HEARTBEAT_MAX.as_millis());
    assert!(CLOCK_JOURNAL_INTERVAL.as_secs() * 4 <= CLOCK_GAP_MAX.as_secs());
    assert!(PAGE_SIZE_MAX <= PAGE_SCAN_MAX);
    assert!(GROUP_COMMIT_MAX <= WRITE_QUEUE_MAX);
};
