//! Tokens that are read, and tokens that are refused with the reason.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::{
    limits,
    model::{ClaimNames, Claims, Invalid, IssuerSettings, Semantics, UnixNanos},
};

const HEADER: &str = r#"{"alg":"ES256","kid":"k1"}"#;

fn b64(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn token(header: &str, claims: &str) -> String {
    format!("{}.{}.{}", b64(header), b64(claims), b64("signature"))
}

/// Every claim has a name of its own here except those that are tested by their default.
fn semantics() -> Semantics {
    let tenants = IssuerSettings {
        revocable_claims: vec!["tenant".to_owned(), "aud".to_owned()],
        ..IssuerSettings::default()
    };
    let renamed = IssuerSettings {
        claims: ClaimNames {
            sub: "userId".to_owned(),
            client_id: "app".to_owned(),
            version: "ver".to_owned(),
            ..ClaimNames::default()
        },
        ..IssuerSettings::default()
    };
    Semantics {
        default_issuer: None,
        defaults: IssuerSettings::default(),
        issuers: HashMap::from([
            ("tenants".to_owned(), tenants),
            ("renamed".to_owned(), renamed),
        ]),
    }
}

/// Decodes and hands the claims, or the detail, to the caller as its own.
fn with<T>(token: &str, check: impl FnOnce(Result<Claims<'_>, Invalid>) -> T) -> T {
    let semantics = semantics();
    check(decode(
        token,
        &mut Buffer::default(),
        &semantics,
        Wanted::default(),
    ))
}

fn read<T>(claims: &str, check: impl FnOnce(Claims<'_>) -> T) -> T {
    with(&token(HEADER, claims), |claims| check(claims.unwrap()))
}

fn detail(token: &str) -> String {
    with(token, |result| result.unwrap_err().detail.into_owned())
}

#[test]
fn the_claims_of_a_usual_token_are_read_and_borrowed() {
    let text = token(
        HEADER,
        r#" { "iss" : "i", "jti":"j","sub":"s", "sid":"d","client_id":"c","azp":"z","iat":1.5,
            "exp":2e3,"nbf":0,"auth_time":7,"version":18446744073709551615,"deep":[{"a":[]},{}]} "#,
    );
    for text in [
        text.clone(),
        format!("Bearer {text}"),
        format!("bEARER   {text}"),
    ] {
        with(&text, |claims| {
            let claims = claims.unwrap();
            assert_eq!(
                claims,
                Claims {
                    iss: "i".into(),
                    jti: "j".into(),
                    sub: "s".into(),
                    sid: "d".into(),
                    client_id: "c".into(),
                    kid: "k1".into(),
                    iat: Some(UnixNanos::from_nanos(1_500_000_000)),
                    exp: Some(UnixNanos::from_secs(2000)),
                    nbf: Some(UnixNanos::ZERO),
                    auth_time: Some(UnixNanos::from_secs(7)),
                    version: Some(u64::MAX),
                    other: Vec::new(),
                    digest: None,
                }
            );
            assert!(matches!(claims.sub, std::borrow::Cow::Borrowed(_)));
        });
    }
}

#[test]
fn rfc_7515_a_1_and_rfc_7519_3_1_are_read() {
    // Both RFCs show the same token, with line breaks inside its JSON.
    let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
        .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
        .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let mut buffer = Buffer::default();
    let parts = Parts::decode(text, &mut buffer).unwrap();
    assert_eq!((&*parts.header.alg, &*parts.header.typ), ("HS256", "JWT"));
    assert_eq!(parts.signature.len(), 32);
    assert_eq!(
        parts.members.get("http://example.com/is_root"),
        Some(&Value::Bool(true))
    );
    let semantics = semantics();
    let claims = parts.claims(&semantics, Wanted::default()).unwrap();
    assert_eq!(claims.iss, "joe");
    assert_eq!(claims.exp, Some(UnixNanos::from_secs(1_300_819_380)));
    let signing_input = text.rsplit_once('.').unwrap().0;
    assert_eq!(
        claims.digest,
        Some(Sha256::digest(signing_input.as_bytes()).into())
    );
}

#[test]
fn a_whole_number_and_its_text_are_one_identifier() {
    for (json, id) in [
        ("42", "42"),
        (r#""42""#, "42"),
        (r#""\u0034\u0032""#, "42"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("-7", "-7"),
        ("-0", "0"),
        (r#""""#, ""),
        (r#""42.0""#, "42.0"),
    ] {
        read(&format!(r#"{{"iss":"i","sub":{json}}}"#), |claims| {
            assert_eq!(claims.sub, id, "{json}");
        });
    }
}

#[test]
fn the_client_is_client_id_else_azp_unless_the_claim_is_renamed() {
    for (claims, client) in [
        (r#"{"iss":"i","azp":"z"}"#, "z"),
        (r#"{"iss":"i","azp":"z","client_id":""}"#, "z"),
        (r#"{"iss":"i","azp":{},"client_id":"c"}"#, "c"),
        (r#"{"iss":"renamed","azp":"z","client_id":"c"}"#, ""),
        (r#"{"iss":"renamed","app":"a"}"#, "a"),
    ] {
        read(claims, |read| {
            assert_eq!(read.client_id, client, "{claims}")
        });
    }
    read(
        r#"{"iss":"renamed","sub":"x","userId":8,"version":"1.0","ver":3}"#,
        |claims| {
            assert_eq!((&*claims.sub, claims.version), ("8", Some(3)));
        },
    );
}

#[test]
fn a_token_without_iss_belongs_to_the_default_issuer() {
    let semantics = Semantics {
        default_issuer: Some("renamed".to_owned()),
        ..semantics()
    };
    for claims in [r#"{"userId":"u"}"#, r#"{"iss":"","userId":"u"}"#] {
        let text = token(HEADER, claims);
        let mut buffer = Buffer::default();
        let claims = decode(&text, &mut buffer, &semantics, Wanted::default()).unwrap();
        assert_eq!((&*claims.iss, &*claims.sub), ("renamed", "u"));
    }
}

#[test]
fn every_value_of_a_configured_or_wanted_claim_is_read() {
    let semantics = semantics();
    let text = token(
        HEADER,
        r#"{"iss":"tenants","jti":"j","tenant":[1,"1","",2],"aud":"a","azp":"z","plan":"p"}"#,
    );
    let mut buffer = Buffer::default();
    let wanted = Wanted {
        claims: &["tenant", "azp", "missing"],
        digest: true,
    };
    let claims = decode(&text, &mut buffer, &semantics, wanted).unwrap();
    let other: Vec<(&str, &str)> = claims.other.iter().map(|(a, b)| (&**a, &**b)).collect();
    assert_eq!(
        other,
        [
            ("tenant", "1"),
            ("tenant", "1"),
            ("tenant", "2"),
            ("aud", "a"),
            ("azp", "z")
        ]
    );
    assert!(claims.digest.is_some());
}

#[test]
fn texts_that_are_no_compact_jws_are_refused_with_the_reason() {
    let whole = token(HEADER, r#"{"iss":"i"}"#);
    let (header, claims) = (b64(HEADER), b64(r#"{"iss":"i"}"#));
    for (text, part_of_detail) in [
        (String::new(), "is empty"),
        ("Bearer ".to_owned(), "is empty"),
        ("opaque".to_owned(), "it is opaque"),
        (format!("{header}.{claims}"), "has 2 parts"),
        (format!("{whole}.x"), "has 4 parts"),
        ("a.b.c.d.e".to_owned(), "an encrypted JWE"),
        (format!("{header}.{claims}."), "has no signature"),
        (format!(".{claims}.c2ln"), "header part is empty"),
        (format!("{header}..c2ln"), "claims part is empty"),
        (format!("{whole}\n"), "holds whitespace"),
        (format!(" {whole}"), "holds whitespace"),
        (
            format!("{whole}=="),
            "signature part is not base64url: it is padded",
        ),
        (format!("{header}.{claims}.a+b/"), "the standard alphabet"),
        (format!("{header}.{claims}.aaaaa"), "was the token cut?"),
        (format!("{header}.{claims}.AB"), "has spare bits"),
        (
            format!("{header}.{claims}.é"),
            "a character that base64url does not have",
        ),
        (
            format!("{header}.{claims}.\0abc"),
            "a character that base64url does not have",
        ),
    ] {
        let detail = detail(&text);
        assert!(detail.contains(part_of_detail), "{text:?}: {detail}");
    }
}

#[test]
fn headers_that_cannot_be_honoured_are_refused_with_the_reason() {
    for (header, part_of_detail) in [
        ("{}", "has no `alg`"),
        (r#"{"alg":""}"#, "has no `alg`"),
        (r#"{"alg":"none"}"#, "not signed"),
        (r#"{"alg":"nOnE"}"#, "not signed"),
        (r#"{"alg":"n\u006fne"}"#, "not signed"),
        (r#"{"alg":7}"#, "header `alg` is a whole number"),
        (r#"{"alg":"A","kid":7}"#, "header `kid` is a whole number"),
        (r#"{"alg":"A","kid":null}"#, "header `kid` is null"),
        (r#"{"alg":"A","typ":[]}"#, "header `typ` is an array"),
        (r#"{"alg":"A","b64":false}"#, "`b64` is false"),
        (r#"{"alg":"A","b64":"no"}"#, "`b64` is a text"),
        (
            r#"{"alg":"A","crit":["b64","b64","exp","x","y"]}"#,
            "here: b64, exp, 2 that are not registered (",
        ),
        (r#"{"alg":"A","crit":[]}"#, "an empty list"),
        (r#"{"alg":"A","crit":true}"#, "`crit` is a boolean"),
        (
            r#"{"alg":"A","alg":"A"}"#,
            "header have two members of the same name",
        ),
        (
            r#"{"alg":"A","x":{"a":1,"a":2}}"#,
            "two members of the same name",
        ),
        ("[]", "header are JSON but not an object"),
        ("{", "header are not valid JSON (line 1, column 1)"),
    ] {
        let detail = detail(&token(header, r#"{"iss":"i"}"#));
        assert!(detail.contains(part_of_detail), "{header}: {detail}");
    }
    let nested = token(r#"{"alg":"A","cty":"jwt"}"#, "eyJh.eyJh.c2ln");
    assert!(detail(&nested).contains("give the inner one"));
    let long = "k".repeat(limits::IDENTIFIER_BYTES_MAX + 1);
    let long = token(&format!(r#"{{"alg":"A","kid":"{long}"}}"#), "{}");
    assert_eq!(
        detail(&long),
        "header `kid` has 1025 bytes; at most 1024 are accepted"
    );
}

#[test]
fn claims_that_leave_open_what_they_mean_are_refused_with_the_reason() {
    for (claims, part_of_detail) in [
        ("{}", "setting `default_issuer`"),
        (r#"{"iss":""}"#, "setting `default_issuer`"),
        (r#"{"iss":7}"#, "claim `iss` is a whole number"),
        (r#"{"iss":null}"#, "claim `iss` is null"),
        (r#"{"iss":"i","sub":null}"#, "claim `sub` is null"),
        (
            r#"{"iss":"i","sub":42.0}"#,
            "claim `sub` is a number with a fraction",
        ),
        (
            r#"{"iss":"i","jti":4.2e1}"#,
            "claim `jti` is a number with a fraction",
        ),
        (r#"{"iss":"i","jti":true}"#, "claim `jti` is a boolean"),
        (r#"{"iss":"i","sid":["a"]}"#, "claim `sid` is an array"),
        (
            r#"{"iss":"i","client_id":{}}"#,
            "claim `client_id` is an object",
        ),
        (r#"{"iss":"i","azp":["a"]}"#, "claim `azp` is an array"),
        (
            r#"{"iss":"renamed","userId":{}}"#,
            "claim `userId` is an object",
        ),
        (r#"{"iss":"renamed","userId":{}}"#, "setting `claims.sub`"),
        (
            r#"{"iss":"i","exp":"1"}"#,
            "claim `exp` is a text; RFC 7519 section 2 wants a number",
        ),
        (r#"{"iss":"i","iat":-1}"#, "claim `iat` is negative"),
        (
            r#"{"iss":"i","nbf":1e999}"#,
            "claim `nbf` is negative or too large",
        ),
        (r#"{"iss":"i","exp":null}"#, "claim `exp` is null"),
        (
            r#"{"iss":"i","auth_time":"x"}"#,
            "setting `claims.auth_time`",
        ),
        (
            r#"{"iss":"i","version":"1.0"}"#,
            "claim `version` is a text",
        ),
        (
            r#"{"iss":"i","version":1.0}"#,
            "claim `version` is a number with a fraction",
        ),
        (r#"{"iss":"i","version":-1}"#, "claim `version` is negative"),
        (
            r#"{"iss":"i","version":18446744073709551616}"#,
            "greater than 2^64 - 1",
        ),
        (
            r#"{"iss":"tenants","tenant":{}}"#,
            "claim `tenant` is an object",
        ),
        (
            r#"{"iss":"tenants","tenant":[1,[2]]}"#,
            "claim `tenant` has an element that is an array",
        ),
        (
            r#"{"iss":"tenants","aud":1.5}"#,
            "claim `aud` is a number with a fraction",
        ),
        (
            r#"{"iss":"i","\u0069ss":"i"}"#,
            "claims have two members of the same name",
        ),
        (
            r#"{"iss":"i","a":[[{"b":1,"c":{},"\u0062":2}]]}"#,
            "two members of the same name",
        ),
        (r#"{"iss":"i","x":"\ud800"}"#, "half of a surrogate pair"),
        (r#"{"iss":"i","\udc00":1}"#, "half of a surrogate pair"),
        (r#"{"iss":"i"} x"#, "claims are not valid JSON"),
        (r#"{"iss":"i"}{}"#, "claims are not valid JSON"),
        (r#"{"iss":"i",}"#, "claims are not valid JSON"),
        (r#"{"iss":"i","exp":01}"#, "claims are not valid JSON"),
        (r#"{"iss":"i","exp":NaN}"#, "claims are not valid JSON"),
        ("{'iss':'i'}", "claims are not valid JSON"),
        ("{\"iss\":\"a\nb\"}", "claims are not valid JSON"),
        ("\u{feff}{}", "claims are not valid JSON"),
        (r#""text""#, "claims are JSON but not an object"),
        ("null", "claims are JSON but not an object"),
    ] {
        let detail = detail(&token(HEADER, claims));
        assert!(detail.contains(part_of_detail), "{claims}: {detail}");
    }
    let latin1 = format!("{}.{}.c2ln", b64(HEADER), b64(b"{\"iss\":\"\xe9\"}"));
    assert!(detail(&latin1).contains("claims are not UTF-8"));
}

#[test]
fn an_escaped_name_is_the_same_claim() {
    read(r#"{"\u0069ss":"i","s\u0075b":"u"}"#, |claims| {
        assert_eq!((&*claims.iss, &*claims.sub), ("i", "u"));
    });
}

#[test]
fn equal_names_in_different_objects_are_no_duplicates() {
    read(
        r#"{"iss":"i","a":{"iss":1,"a":{"a":1}},"b":[{"x":1},{"x":1}],"c":{"x":{"y":1},"y":2}}"#,
        |claims| assert_eq!(claims.iss, "i"),
    );
}

#[test]
fn each_bound_holds_at_the_limit_and_not_one_past_it() {
    let nested = |depth: usize| {
        let inner = depth - 1;
        let (open, close) = ("[".repeat(inner), "]".repeat(inner));
        token(HEADER, &format!(r#"{{"iss":"i","x":{open}{close}}}"#))
    };
    let members = |count: usize| {
        let more: Vec<String> = (1..count).map(|i| format!(r#""m{i}":{i}"#)).collect();
        token(HEADER, &format!(r#"{{"iss":"i",{}}}"#, more.join(",")))
    };
    let nested_members = |count: usize| {
        let more: Vec<String> = (0..count).map(|i| format!(r#""m{i}":{i}"#)).collect();
        token(
            HEADER,
            &format!(r#"{{"iss":"i","x":{{{}}}}}"#, more.join(",")),
        )
    };
    let identifier = |len: usize| {
        let text = "x".repeat(len);
        token(HEADER, &format!(r#"{{"iss":"i","sub":"{text}"}}"#))
    };
    let values = |count: usize| {
        let array = vec!["1"; count].join(",");
        token(HEADER, &format!(r#"{{"iss":"tenants","aud":[{array}]}}"#))
    };
    let bytes = |count: usize| {
        let head = format!("{}.{}.", b64(HEADER), b64(r#"{"iss":"i"}"#));
        let signature = "A".repeat(count - head.len());
        head + &signature
    };
    type Make<'a> = &'a dyn Fn(usize) -> String;
    let table: [(Make<'_>, usize, &str); 6] = [
        (&nested, limits::JSON_DEPTH_MAX, "deeper than 32 levels"),
        (&members, limits::JSON_MEMBERS_MAX, "more than 256 members"),
        (
            &nested_members,
            limits::JSON_MEMBERS_MAX,
            "more than 256 members",
        ),
        (
            &identifier,
            limits::IDENTIFIER_BYTES_MAX,
            "claim `sub` has 1025 bytes; at most 1024",
        ),
        (
            &values,
            limits::CLAIM_VALUES_MAX,
            "claim `aud` has 65 values; at most 64",
        ),
        (
            &bytes,
            limits::TOKEN_BYTES_MAX,
            "has 16385 bytes; at most 16384",
        ),
    ];
    for (make, limit, part_of_detail) in table {
        with(&make(limit), |claims| {
            claims.unwrap();
        });
        let detail = detail(&make(limit + 1));
        assert!(detail.contains(part_of_detail), "{detail}");
    }
    // As deep as a token can be.
    assert!(detail(&nested(6000)).contains("deeper than"));
}

#[test]
fn a_token_has_one_text_only() {
    // The last character of two carries four spare bits, that of three carries two.
    let whole = format!("{}.{}.", b64(HEADER), b64(r#"{"iss":"i"}"#));
    for (signature, spare_bits) in [("AA", 16), ("AAA", 4)] {
        let good = (b'A'..=b'Z')
            .filter(|last| {
                let mut text = whole.clone() + signature;
                text.pop();
                text.push(char::from(*last));
                with(&text, |claims| claims.is_ok())
            })
            .count();
        assert_eq!(good, 26_usize.div_ceil(spare_bits));
    }
}

/// What no detail may repeat.
const SENTINEL: &str = "s3nt1nel";

fn json_with_sentinels() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(format!(r#""{SENTINEL}""#)),
        Just("73571234".to_owned()),
        Just("7357.1234".to_owned()),
        Just("null".to_owned()),
        Just("-7357".to_owned()),
        Just(format!(r#""{}""#, SENTINEL.repeat(200))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(inner, 0..4).prop_map(|values| {
                let members: Vec<String> = values
                    .iter()
                    .map(|value| format!(r#""{SENTINEL}":{value}"#))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "iss", "jti", "sub", "sid", "azp", "aud", "iat", "exp", "nbf", "version", "alg", "kid",
        "typ", "crit", "b64", "cty", SENTINEL,
    ])
    .prop_map(str::to_owned)
}

fn object() -> impl Strategy<Value = String> {
    prop::collection::vec((name(), json_with_sentinels()), 0..6).prop_map(|members| {
        let members: Vec<String> = members
            .iter()
            .map(|(name, value)| format!(r#""{name}":{value}"#))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn assert_nothing_leaks(text: &str, detail: &str) {
    for secret in [SENTINEL, "7357", b64(SENTINEL).as_str()] {
        assert!(!detail.contains(secret), "{detail} repeats {text}");
    }
    for part in text.split('.').filter(|part| part.len() > 3) {
        assert!(!detail.contains(part), "{detail} repeats {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in any::<String>()) {
        with(&text, |result| drop(result.is_ok()));
    }

    #[test]
    fn any_bytes_inside_are_read_or_refused_without_a_panic(
        header in any::<Vec<u8>>(), claims in any::<Vec<u8>>(), signature in any::<Vec<u8>>(),
    ) {
        for header in [header.as_slice(), HEADER.as_bytes()] {
            let text = format!("{}.{}.{}", b64(header), b64(&claims), b64(&signature));
            with(&text, |result| drop(result.is_ok()));
        }
    }

    #[test]
    fn a_changed_token_is_read_or_refused_without_a_panic(
        at in any::<prop::sample::Index>(), byte in 0_u8..128, cut in any::<bool>(),
    ) {
        let claims = r#"{"iss":"tenants","sub":"\u0041","exp":1.5,"tenant":[1,{"a":[null]}]}"#;
        let mut inner = claims.to_owned().into_bytes();
        let place = at.index(inner.len());
        inner[place] = byte;
        if cut {
            inner.truncate(place);
        }
        with(&token(HEADER, &String::from_utf8(inner).unwrap()), |result| drop(result.is_ok()));
        let mut outer = token(HEADER, claims).into_bytes();
        let place = at.index(outer.len());
        outer[place] = byte;
        with(&String::from_utf8(outer).unwrap(), |result| drop(result.is_ok()));
    }

    #[test]
    fn no_detail_repeats_the_token(header in object(), claims in object(), usual in any::<bool>()) {
        let header = if usual { HEADER } else { &header };
        let text = token(header, &claims);
        with(&text, |result| {
            if let Err(invalid) = result {
                assert_nothing_leaks(&text, &invalid.detail);
            }
        });
    }

    #[test]
    fn members_are_those_that_serde_json_reads(claims in object()) {
        // Where there is no duplicate, both see the same names.
        if let Ok(object) = Object::parse(claims.as_bytes()) {
            let value: serde_json::Value = serde_json::from_str(&claims).unwrap();
            let names: Vec<&str> = object.members().map(|(name, _)| name).collect();
            let mut expected: Vec<&str> =
                value.as_object().unwrap().keys().map(String::as_str).collect();
            expected.sort_unstable();
            assert_eq!(names, expected);
        }
    }
}
