//! The whole way of a Check without keys: from bytes to the answer, on a node that holds a few
//! revocations of every kind.

use std::sync::{Arc, LazyLock};

use prost::Message as _;
use rescind::{
    clock::ManualClock,
    fleet::Fleet,
    journal::{Journal, Storage},
    ledger::{Ledger, Options},
    model::{IssuerSettings, Semantics, UnixNanos},
    proto::v1::{
        self, Reason, Verdict, check_request::Credential,
        revocation_service_client::RevocationServiceClient,
        revocation_service_server::RevocationServiceServer, target::Kind,
    },
    server::{Access, Service},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::minted::{CANARY, Reading, bare, read, text, token_of};

const NOW_S: u64 = 1_750_000_000;
const LEEWAY_S: f64 = 60.0;
const LIFETIME_S: f64 = 30.0 * 86_400.0;
/// Those whose tokens are denied from before a cut-off are denied from before this.
const CUT_OFF_S: u64 = NOW_S - 100;
const VERSION: u64 = 5;
const ISS: &str = "https://issuer.example";
const BURNT: &str = "https://burnt.example";

/// What is revoked under [`ISS`], by kind, with the rule `all`.
const REVOKED: [(&str, &str); 7] = [
    ("jti", "gone"),
    ("sub", "ada"),
    ("sub", "42"),
    ("sid", "s1"),
    ("client_id", "app"),
    ("kid", "k1"),
    ("tenant", "evil"),
];

type Client = RevocationServiceClient<RevocationServiceServer<Service>>;

struct Node {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

static NODE: LazyLock<Node> = LazyLock::new(Node::start);

/// Bytes that begin with a control character, as every field's tag is one, are a `CheckRequest`;
/// others are the header and the claims of a token.
pub fn run(bytes: &[u8]) {
    let request = if bytes.first().is_none_or(|first| *first < b' ') {
        v1::CheckRequest::decode(bytes).ok()
    } else {
        Some(of_token(token_of(bytes)))
    };
    let Some(request) = request else {
        return;
    };
    let answer = NODE.check(request.clone());
    is_whole(&answer);
    assert_eq!(answer, NODE.check(request.clone()), "not the same twice");
    match request.credential {
        // With a bad `max_staleness` it is INVALID, and would not be without.
        Some(Credential::Token(token)) if request.max_staleness.is_none() => {
            judge(&token, &answer);
        }
        Some(Credential::Claims(claims)) if answer.active => of_claims(&claims),
        _ => {}
    }
}

fn of_token(token: String) -> v1::CheckRequest {
    v1::CheckRequest {
        credential: Some(Credential::Token(token)),
        max_staleness: None,
    }
}

/// What holds of every answer.
fn is_whole(answer: &v1::CheckResponse) {
    let verdict = answer.verdict();
    assert_ne!(verdict, Verdict::Unspecified);
    assert_eq!(answer.active, verdict == Verdict::Active);
    assert_eq!(answer.r#match.is_some(), verdict == Verdict::Revoked);
    assert_eq!(answer.detail.is_empty(), answer.active);
    assert!(!answer.signature_verified, "there are no keys");
    let is_told = verdict == Verdict::Invalid && answer.detail.contains(CANARY);
    assert!(!is_told, "told: {}", answer.detail);
}

fn judge(token: &str, answer: &v1::CheckResponse) {
    if answer.active
        && let Some(reading) = read(token)
    {
        may_be_active(&reading);
    }
    if answer.verdict() == Verdict::Invalid {
        return;
    }
    // Neither another signature nor the scheme of a header makes another token.
    let (signed, _) = bare(token)
        .rsplit_once('.')
        .expect("it was taken for a token");
    for other in [format!("{signed}.AAAA"), format!("Bearer {}", bare(token))] {
        // Longer than the token that was asked about, it may be too long.
        let other = NODE.check(of_token(other));
        assert!(other == *answer || other.verdict() == Verdict::Invalid);
    }
}

/// What is not revoked, in its time and short enough; as `serde_json` reads the token.
fn may_be_active(reading: &Reading) {
    let iss = reading.identifier("iss");
    assert_ne!(iss, BURNT, "its issuer is revoked");
    assert!(!iss.is_empty(), "it is nobody's");
    let (now, slack) = (NOW_S as f64, 1e-3);
    let number = |name| reading.number(name).expect("active without exp or iat");
    let (exp, iat) = (number("exp"), number("iat"));
    assert!(exp + LEEWAY_S > now - slack, "expired");
    assert!(exp - iat <= LIFETIME_S + slack, "too long");
    assert!(iat <= now + LEEWAY_S + slack, "of the future");
    if let Some(nbf) = reading.number("nbf") {
        assert!(nbf <= now + LEEWAY_S + slack, "not yet");
    }
    if iss != ISS {
        return;
    }
    for (name, value) in REVOKED {
        assert!(
            !values(reading, name).contains(&value.to_owned()),
            "{name} is revoked"
        );
    }
    // A key of the issuer is revoked, and it may have signed whatever names none.
    assert_ne!(values(reading, "kid"), [""]);
    let cut_off = CUT_OFF_S as f64 - slack;
    match &*reading.identifier("sub") {
        "bob" => assert!(iat >= cut_off, "issued before"),
        "carol" => assert!(reading.number("version") >= Some(VERSION as f64)),
        "dora" => assert!(reading.number("auth_time") >= Some(cut_off)),
        _ => {}
    }
}

fn values(reading: &Reading, name: &str) -> Vec<String> {
    match (name, reading.claims.get(name)) {
        ("kid", _) => vec![reading.header.get("kid").map(text).unwrap_or_default()],
        ("client_id", _) if reading.identifier("client_id").is_empty() => {
            vec![reading.identifier("azp")]
        }
        (_, Some(Value::Array(all))) => all.iter().map(text).collect(),
        _ => vec![reading.identifier(name)],
    }
}

/// The same of claims that a caller gives.
fn of_claims(claims: &v1::Claims) {
    assert_ne!(claims.iss, BURNT, "its issuer is revoked");
    let (exp, iat) = (claims.exp.expect("no exp"), claims.iat.expect("no iat"));
    assert!(exp + LEEWAY_S > NOW_S as f64 - 1e-3 && exp - iat <= LIFETIME_S + 1e-3);
    assert!(!claims.jti.is_empty() || claims.signing_input_sha256.len() == 32);
    if claims.iss != ISS {
        return;
    }
    for (name, value) in REVOKED {
        let of = match name {
            "jti" => &claims.jti,
            "sub" => &claims.sub,
            "sid" => &claims.sid,
            "client_id" => &claims.client_id,
            "kid" => &claims.kid,
            name => {
                let values = claims
                    .other
                    .get(name)
                    .map(|of| &*of.values)
                    .unwrap_or_default();
                assert!(!values.iter().any(|of| of == value), "{name} is revoked");
                continue;
            }
        };
        assert_ne!(of, value, "{name} is revoked");
    }
    assert!(!claims.kid.is_empty(), "a revoked key may have signed it");
}

impl Node {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let defaults = IssuerSettings {
            revocable_claims: vec!["tenant".to_owned()],
            ..IssuerSettings::default()
        };
        let clock = Arc::new(ManualClock::new(UnixNanos::from_secs(NOW_S)));
        let options = Options {
            clock: Arc::<ManualClock>::clone(&clock),
            semantics: Arc::new(Semantics {
                defaults,
                ..Semantics::default()
            }),
            live_max: 1_000,
            sweep_settle: std::time::Duration::from_secs(3_600),
            accept_changed_meaning: false,
        };
        let journal = Journal::open(&Storage::Memory).expect("a journal in memory");
        let (ledger, _writer) = Ledger::open(journal, &options).expect("a ledger");
        let fleet = Arc::new(Fleet::alone(clock));
        let stop = CancellationToken::new();
        let service = Service::new(ledger, fleet, None, Access::default(), stop);
        let node = Self {
            runtime,
            client: RevocationServiceClient::new(service),
        };
        node.revoke_all();
        node
    }

    fn check(&self, request: v1::CheckRequest) -> v1::CheckResponse {
        let mut client = self.client.clone();
        let answer = self.runtime.block_on(client.check(request));
        answer
            .expect("Check answers whatever it is asked")
            .into_inner()
    }

    fn revoke_all(&self) {
        for (kind, value) in REVOKED {
            self.revoke(target(ISS, kind, value), kind != "jti", |rules| {
                rules.all = true;
            });
        }
        self.revoke(target(BURNT, "iss", ""), true, |rules| rules.all = true);
        let cut_off = prost_types::Timestamp {
            seconds: i64::try_from(CUT_OFF_S).expect("in range"),
            nanos: 0,
        };
        self.revoke(target(ISS, "sub", "bob"), true, |rules| {
            rules.issued_before = Some(cut_off);
        });
        self.revoke(target(ISS, "sub", "carol"), true, |rules| {
            rules.version_below = VERSION;
        });
        self.revoke(target(ISS, "sub", "dora"), true, |rules| {
            rules.authenticated_before = Some(cut_off);
        });
    }

    fn revoke(&self, target: v1::Target, has_rules: bool, set: impl FnOnce(&mut v1::Rules)) {
        let mut rules = v1::Rules::default();
        set(&mut rules);
        let request = v1::RevokeRequest {
            targets: vec![target],
            rules: has_rules.then_some(rules),
            reason: Reason::Admin.into(),
            ..v1::RevokeRequest::default()
        };
        let mut client = self.client.clone();
        let revoked = self.runtime.block_on(client.revoke(request));
        revoked.expect("what is to be revoked");
    }
}

fn target(iss: &str, kind: &str, value: &str) -> v1::Target {
    let (iss, value) = (iss.to_owned(), value.to_owned());
    let kind = match kind {
        "jti" => Kind::Token(v1::TokenTarget {
            iss,
            jti: value,
            ..v1::TokenTarget::default()
        }),
        "sub" => Kind::User(v1::UserTarget { iss, sub: value }),
        "sid" => Kind::Session(v1::SessionTarget { iss, sid: value }),
        "client_id" => Kind::Client(v1::ClientTarget {
            iss,
            client_id: value,
        }),
        "kid" => Kind::Key(v1::KeyTarget { iss, kid: value }),
        "iss" => Kind::Issuer(v1::IssuerTarget { iss }),
        name => Kind::Claim(v1::ClaimTarget {
            iss,
            name: name.to_owned(),
            value,
        }),
    };
    v1::Target { kind: Some(kind) }
}
