//! What holds for every token.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

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
    // A member that stands there twice is named: who makes the tokens must find it.
    let named = format!("two members of the name \"{SENTINEL}\"");
    let detail = &detail.replace(&named, "");
    for secret in [SENTINEL, "7357", b64(SENTINEL).as_str()] {
        assert!(!detail.contains(secret), "{detail} repeats {text}");
    }
    for part in text.split('.').filter(|part| part.len() > 3) {
        assert!(!detail.contains(part), "{detail} repeats {text}");
    }
}

/// JSON to be walked, knowing by itself whether one of its objects has two members of a name.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(&'static str),
    Array(Vec<Tree>),
    Object(Vec<(char, Tree)>),
}

impl Tree {
    fn strategy() -> impl Strategy<Value = Self> {
        let leaf = prop::sample::select(vec![
            "0",
            "\"a\"",
            "\"}\\\"{\"",
            "[ ]",
            "{ }",
            "-1.5e3",
            "true",
        ]);
        leaf.prop_map(Self::Leaf).prop_recursive(5, 24, 4, |inner| {
            let member = (prop::char::range('a', 'f'), inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Self::Array),
                prop::collection::vec(member, 0..4).prop_map(Self::Object),
            ]
        })
    }

    /// Every other member is written with an escape in its name.
    fn text(&self) -> String {
        match self {
            Self::Leaf(text) => (*text).to_owned(),
            Self::Array(values) => {
                let values: Vec<String> = values.iter().map(Self::text).collect();
                format!("[{}]", values.join(" , "))
            }
            Self::Object(members) => {
                let write = |(place, (name, value)): (usize, &(char, Self))| {
                    if place % 2 == 0 {
                        format!("\"{name}\": {}", value.text())
                    } else {
                        format!("\"\\u{:04x}\":{}", u32::from(*name), value.text())
                    }
                };
                let members: Vec<String> = members.iter().enumerate().map(write).collect();
                format!("{{{}}}", members.join(",\n"))
            }
        }
    }

    fn has_duplicates(&self) -> bool {
        match self {
            Self::Leaf(_) => false,
            Self::Array(values) => values.iter().any(Self::has_duplicates),
            Self::Object(members) => {
                let names: HashSet<char> = members.iter().map(|(name, _)| *name).collect();
                names.len() < members.len()
                    || members.iter().any(|(_, value)| value.has_duplicates())
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in any::<String>()) {
        with(&text, |_either| ());
    }

    #[test]
    fn any_bytes_inside_are_read_or_refused_without_a_panic(
        header in any::<Vec<u8>>(), claims in any::<Vec<u8>>(), signature in any::<Vec<u8>>(),
    ) {
        for header in [header.as_slice(), HEADER.as_bytes()] {
            let text = format!("{}.{}.{}", b64(header), b64(&claims), b64(&signature));
            with(&text, |_either| ());
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
        with(&token(HEADER, &String::from_utf8(inner).unwrap()), |_either| ());
        let mut outer = token(HEADER, claims).into_bytes();
        let place = at.index(outer.len());
        outer[place] = byte;
        with(&String::from_utf8(outer).unwrap(), |_either| ());
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

    #[test]
    fn duplicates_are_found_wherever_they_are_and_nowhere_else(tree in Tree::strategy()) {
        let text = format!(r#"{{"x":{}}}"#, tree.text());
        let parsed = Object::parse(text.as_bytes()).map(drop);
        let is_duplicate = matches!(parsed, Err(Fault::Duplicate { .. }));
        prop_assert_eq!(is_duplicate, tree.has_duplicates(), "{}", text);
        prop_assert!(is_duplicate || parsed.is_ok(), "{text}");
    }
}
