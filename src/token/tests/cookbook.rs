//! The examples of RFC 7520 and RFC 7515: their signatures verify here, and as none of them is a
//! JWT in its compact form, none is taken for one.

use serde_json::Value as Json;

use super::super::{algorithm::Algorithm, keys::KeySet};
use super::signing::*;
use super::*;

const RFC_7520: &str = include_str!("rfc7520.json");
const RFC_7515_A_5: &str = "eyJhbGciOiJub25lIn0.\
    eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";

struct Example {
    section: String,
    algorithm: Algorithm,
    keys: KeySet,
    forms: Json,
}

fn examples() -> Vec<Example> {
    let read: Json = serde_json::from_str(RFC_7520).unwrap();
    let examples = read["examples"].as_array().unwrap().iter();
    examples
        .map(|forms| {
            let algorithm = forms["alg"].as_str().unwrap().parse().unwrap();
            let key = &read["keys"][forms["key"].as_str().unwrap()];
            Example {
                section: format!("RFC 7520 section {}", forms["section"].as_str().unwrap()),
                algorithm,
                keys: set(std::slice::from_ref(key), &[algorithm]),
                forms: forms.clone(),
            }
        })
        .collect()
}

#[test]
fn the_compact_examples_of_rfc_7520_verify_and_are_no_jwt() {
    let mut verified = Vec::new();
    for example in examples() {
        let Some(compact) = example.forms["compact"].as_str() else {
            continue;
        };
        let source = &example.section;
        let (input, signature) = compact.rsplit_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = &example.keys.keys()[0];
        let fits = |input: &str| key.verifies(example.algorithm, input, &bytes, signature);
        assert!(fits(input), "{source}");
        assert!(!fits(&input.replacen("SXTi", "SXTj", 1)), "{source}");
        for other in all().filter(|other| *other != example.algorithm) {
            assert!(
                !key.verifies(other, input, &bytes, signature),
                "{source} as {other}"
            );
        }
        // Its payload is a sentence of Gandalf's.
        assert_eq!(
            detail(compact),
            "the token's claims are not valid JSON (line 1, column 1)",
            "{source}"
        );
        verified.push(example.algorithm.name());
    }
    assert_eq!(verified, ["RS256", "PS384", "ES512", "HS256"]);
}

#[test]
fn a_jws_in_json_is_refused_and_named() {
    let mut refused = 0;
    for example in examples() {
        for form in ["general", "flattened"] {
            let jws = &example.forms[form];
            if jws.is_null() {
                continue;
            }
            for text in [jws.to_string(), format!(" {jws:#}")] {
                let detail = detail(&text);
                assert!(
                    detail.contains("JSON serialization (RFC 7515 section 7.2)"),
                    "{} {form}: {detail}",
                    example.section
                );
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 30, "eight examples, one of them in one form only");
}

#[test]
fn five_parts_inside_json_are_not_taken_for_a_jwe() {
    // The three signatures of section 4.8 name `bilbo.baggins@hobbiton.example` twice outside of
    // base64: four dots, so the detail sent people to decrypt what was never encrypted.
    let all = examples();
    let several = all.last().unwrap().forms["general"].to_string();
    assert_eq!(several.split('.').count(), 5);
    let detail = detail(&several);
    assert!(!detail.contains("JWE"), "{detail}");
}

#[test]
fn a_detached_payload_and_an_unsecured_token_are_refused() {
    let detached = examples()
        .into_iter()
        .find_map(|example| Some(example.forms["detached"].as_str()?.to_owned()));
    for (token, part) in [
        (detached.unwrap(), "claims part is empty"),
        (RFC_7515_A_5.to_owned(), "has no signature"),
        // With a signature it is still not signed.
        (format!("{RFC_7515_A_5}AAAA"), "`alg` is none"),
    ] {
        let detail = detail(&token);
        assert!(detail.contains(part), "{detail}");
    }
}
