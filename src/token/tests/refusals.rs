//! Tokens that are refused, each with the reason.

use super::*;
use crate::limits;

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
            "header have two members of the name \"alg\"",
        ),
        (
            r#"{"alg":"A","x":{"a":1,"a":2}}"#,
            "two members of the name \"a\"",
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
    ] {
        let detail = detail(&token(HEADER, claims));
        assert!(detail.contains(part_of_detail), "{claims}: {detail}");
    }
}

#[test]
fn claims_that_are_no_strict_json_object_are_refused_with_the_reason() {
    for (claims, part_of_detail) in [
        (
            r#"{"iss":"i","\u0069ss":"i"}"#,
            "claims have two members of the name \"iss\"",
        ),
        (
            r#"{"iss":"i","a":[[{"b":1,"c":{},"\u0062":2}]]}"#,
            "two members of the name \"b\"",
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

type Make<'a> = &'a dyn Fn(usize) -> String;

#[test]
fn each_bound_holds_at_the_limit_and_not_one_past_it() {
    let nested = |depth: usize| {
        let inner = depth - 1;
        let (open, close) = ("[".repeat(inner), "]".repeat(inner));
        token(HEADER, &format!(r#"{{"iss":"i","x":{open}{close}}}"#))
    };
    let identifier = |len: usize| {
        let text = "x".repeat(len);
        token(HEADER, &format!(r#"{{"iss":"i","sub":"{text}"}}"#))
    };
    let values = |count: usize| {
        let array = vec!["1"; count].join(",");
        token(HEADER, &format!(r#"{{"iss":"tenants","aud":[{array}]}}"#))
    };
    let table: [(Make<'_>, usize, &str); 3] = [
        (&nested, limits::JSON_DEPTH_MAX, "deeper than 32 levels"),
        (
            &identifier,
            limits::IDENTIFIER_BYTES_MAX,
            "claim `sub` has 1025 bytes; at most 1024",
        ),
        (
            &values,
            limits::CLAIM_VALUES_MAX,
            "claim `aud` has 1025 values; at most 1024",
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

/// Tokens of people with many groups were INVALID although nothing of them was revoked.
#[test]
fn members_and_elements_are_bounded_by_the_length_of_the_token_alone() {
    let list = |count: usize, of: fn(usize) -> String| {
        let all: Vec<String> = (0..count).map(of).collect();
        all.join(",")
    };
    let members = list(700, |n| format!(r#""m{n}":{n}"#));
    let clients = list(400, |n| format!(r#""c{n}":{{"roles":["r"]}}"#));
    let groups = list(2_000, |n| n.to_string());
    for claims in [
        format!(r#"{{"iss":"i",{members}}}"#),
        format!(r#"{{"iss":"i","resource_access":{{{clients}}}}}"#),
        format!(r#"{{"iss":"i","groups":[{groups}]}}"#),
    ] {
        with(&token(HEADER, &claims), |claims| {
            claims.unwrap();
        });
    }
}

#[test]
fn a_longer_token_is_read_where_that_is_configured_and_up_to_the_greatest_setting() {
    let filler = "x".repeat(20_000);
    let long = token(
        HEADER,
        &format!(r#"{{"iss":"i","jti":"t","x":"{filler}"}}"#),
    );
    let read = |token: &str, most: usize| {
        let semantics = Semantics {
            token_bytes_max: most,
            ..semantics()
        };
        let mut buffer = Buffer::default();
        decode(token, &mut buffer, &semantics, Wanted::<String>::default()).map(drop)
    };
    assert!(read(&long, long.len()).is_ok());
    let error = read(&long, long.len() - 1).unwrap_err();
    assert!(
        error.detail.contains("setting max_token_bytes"),
        "{error:?}"
    );
    let head = format!("{}.{}.", b64(HEADER), b64(r#"{"iss":"i"}"#));
    let of = |len: usize| head.clone() + &"A".repeat(len - head.len());
    assert!(read(&of(limits::TOKEN_BYTES_MAX), limits::TOKEN_BYTES_MAX).is_ok());
    assert!(read(&of(limits::TOKEN_BYTES_MAX + 1), usize::MAX).is_err());
    let usual = semantics().token_bytes_max;
    assert!(read(&of(limits::TOKEN_BYTES_DEFAULT), usual).is_ok());
    assert!(read(&of(limits::TOKEN_BYTES_DEFAULT + 2), usual).is_err());
}

#[test]
fn a_duplicate_names_its_member_and_no_value() {
    let long = "n".repeat(100);
    for (claims, shown) in [
        (
            r#"{"iss":"i","role":"secret","role":"x"}"#.to_owned(),
            r#"the name "role" in"#,
        ),
        (
            r#"{"iss":"i","a":{"b":1,"b":2}}"#.to_owned(),
            r#"the name "b" in"#,
        ),
        (
            format!(r#"{{"iss":"i","{long}":1,"{long}":2}}"#),
            &format!(r#"the name "{}…" in"#, &long[..64]),
        ),
        (
            "{\"iss\":\"i\",\"\u{202e}a\":1,\"\u{202e}a\":2}".to_owned(),
            r#"the name "\u{202e}a" in"#,
        ),
    ] {
        let detail = detail(&token(HEADER, &claims));
        assert!(detail.contains(shown), "{detail}");
        assert!(!detail.contains("secret"), "{detail}");
    }
}
