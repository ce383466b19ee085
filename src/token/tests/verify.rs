//! Who vouches for a token, and why nobody does.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::super::{
    algorithm::Algorithm,
    keys::KeySet,
    sign::{RsaBits, SigningKey},
};
use super::signing::*;
use super::*;

fn without_keys() -> Verifier {
    verifier(&[Algorithm::EdDsa], KeySet::default())
}

#[test]
fn a_token_of_every_algorithm_passes_and_one_turned_bit_does_not() {
    for algorithm in all() {
        let key = key(algorithm);
        let verifier = knows(&key);
        for kid in [Some("k"), None] {
            let token = signed(&key, kid);
            assert_eq!(
                look(&verifier, &token),
                Ok(Some("k".to_owned())),
                "{algorithm}"
            );
            for byte in [0, 7, 31, 63, 130, usize::MAX] {
                let turned = with_bit_turned(&token, byte);
                assert!(look(&verifier, &turned).is_err(), "{algorithm} {byte}");
            }
            let other = claims().to_string().replace("ada", "eve");
            let mut parts = token.split('.');
            let (header, signature) = (parts.next().unwrap(), parts.next_back().unwrap());
            let swapped = format!("{header}.{}.{signature}", b64(other));
            assert!(look(&verifier, &swapped).is_err(), "{algorithm}");
        }
    }
}

#[test]
fn a_token_of_another_key_does_not_pass() {
    for algorithm in all().filter(|algorithm| !Algorithm::RSA.contains(algorithm)) {
        let why = why(&knows(&key(algorithm)), &signed(&key(algorithm), Some("k")));
        assert!(why.contains("signature does not fit"), "{why}");
    }
}

#[test]
fn the_examples_of_the_rfcs_verify() {
    const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    for (source, algorithm, jwk, input, signature) in [
        (
            "RFC 7515 A.1",
            Algorithm::Hs256,
            json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}),
            format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{CLAIMS}"),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            "RFC 7515 A.2",
            Algorithm::Rs256,
            json!({"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}),
            format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "RFC 7515 A.3",
            Algorithm::Es256,
            json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
            format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            "RFC 7515 A.4",
            Algorithm::Es512,
            json!({"kty": "EC", "crv": "P-521", "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk", "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}),
            "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA".to_owned(),
            "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
        ),
        (
            "RFC 8037 A.4",
            Algorithm::EdDsa,
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ] {
        let keys = set(&[jwk], &[algorithm]);
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let fits = |input: &str| keys.keys()[0].verifies(algorithm, input, &bytes, signature);
        assert!(fits(&input), "{source}");
        assert!(!fits(&format!("{input}A")), "{source}");
    }
}

#[test]
fn a_public_key_is_no_secret_whatever_the_token_claims() {
    // The classic: the RS256 public key, which everybody has, as the HS256 secret.
    let rsa = key(Algorithm::Rs256);
    let pem = rsa.public_pem().unwrap().unwrap();
    let both = [Algorithm::Rs256, Algorithm::Hs256];
    for (configured, public) in [
        (
            &both[..1],
            KeySet::from_pem(pem.as_bytes(), &both[..1]).unwrap(),
        ),
        (&both, KeySet::from_pem(pem.as_bytes(), &both).unwrap()),
        (&both, set(&[rsa.jwk(Some("k"))], &both)),
    ] {
        let verifier = verifier(configured, public);
        for secret in [
            pem.clone(),
            pem.trim_end().to_owned(),
            rsa.jwk(None)["n"].to_string(),
        ] {
            let forged = SigningKey::from_secret(Algorithm::Hs256, secret.into_bytes()).unwrap();
            for kid in [Some("k"), None] {
                assert!(look(&verifier, &signed(&forged, kid)).is_err());
            }
        }
        assert!(look(&verifier, &signed(&rsa, Some("k"))).is_ok());
    }
}

#[test]
fn the_algorithm_is_the_configured_one_and_the_keys_own() {
    let es256 = key(Algorithm::Es256);
    let all: Vec<Algorithm> = all().collect();
    let verifier = verifier(&all, set(&[es256.jwk(Some("k"))], &all));
    let claims = claims();
    for alg in ["ES384", "ES512", "EdDSA", "HS256", "RS256", "PS256"] {
        let token = es256
            .token(&json!({"alg": alg, "kid": "k"}), &claims)
            .unwrap();
        let why = why(&verifier, &token);
        assert!(
            why.contains("no key of this issuer may verify"),
            "{alg}: {why}"
        );
    }
    let only = knows(&es256);
    for alg in ["es256", "ES256 ", "ES256K", "RS256", "x", "Ed25519"] {
        let token = es256
            .token(&json!({"alg": alg, "kid": "k"}), &claims)
            .unwrap();
        let why = why(&only, &token);
        assert!(
            why.contains("none of the algorithms configured") && why.contains("(ES256)"),
            "{why}"
        );
    }
    // RSA: PKCS #1 and PSS do not stand for each other.
    let rs256 = key(Algorithm::Rs256);
    let token = rs256
        .token(&json!({"alg": "PS256", "kid": "k"}), &claims)
        .unwrap();
    assert!(look(&knows(&key(Algorithm::Ps256)), &token).is_err());
}

#[test]
fn an_unsigned_token_never_passes() {
    let key = key(Algorithm::Es256);
    let verifier = knows(&key);
    let claims = b64(claims().to_string());
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = b64(json!({"alg": alg}).to_string());
        for signature in ["", "AAAA", &b64([0; 64])] {
            assert!(look(&verifier, &format!("{header}.{claims}.{signature}")).is_err());
        }
    }
    let zero = format!("{}.{claims}.{}", b64(r#"{"alg":"ES256"}"#), b64([0; 64]));
    assert!(look(&verifier, &zero).is_err(), "CVE-2022-21449");
}

#[test]
fn a_token_brings_no_key_and_no_demand_that_is_not_understood() {
    let key = key(Algorithm::Es256);
    let verifier = knows(&key);
    let own = SigningKey::generate(Algorithm::Es256, RsaBits::B2048).unwrap();
    for (name, value, part) in [
        ("jwk", own.jwk(Some("k")), "`jwk`"),
        ("jku", json!("https://evil.example/jwks"), "`jku`"),
        ("x5u", json!("https://evil.example/cert"), "`x5u`"),
        ("jwk", json!(null), "`jwk`"),
        ("crit", json!(["exp"]), "`crit`"),
        ("crit", json!([]), "`crit`"),
        ("b64", json!(false), "`b64`"),
        ("kid", json!(["k"]), "`kid`"),
        ("typ", json!(1), "`typ`"),
    ] {
        for signer in [&key, &own] {
            let mut header = header(signer, Some("k"));
            header[name] = value.clone();
            let why = why(&verifier, &signer.token(&header, &claims()).unwrap());
            assert!(why.contains(part), "{name}: {why}");
        }
    }
    let why_parts = |token: &str| why(&verifier, token);
    let jwe = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AA.AA.AA.AA";
    assert!(why_parts(jwe).contains("JWE"));
    let inner = signed(&key, Some("k"));
    let input = format!(
        "{}.{}",
        b64(r#"{"alg":"ES256","kid":"k","cty":"JWT"}"#),
        b64(inner)
    );
    let nested = format!("{input}.{}", b64(key.sign(input.as_bytes()).unwrap()));
    assert!(why_parts(&nested).contains("holds another token"));
}

#[test]
fn certificates_in_a_token_are_ignored_and_lend_it_nothing() {
    // Issuers that always send `x5c` had every token refused.
    let key = key(Algorithm::Es256);
    let own = SigningKey::generate(Algorithm::Es256, RsaBits::B2048).unwrap();
    for x5c in [json!(["MIIB"]), json!([]), json!(null), json!("no list")] {
        let with = |signer: &SigningKey| {
            let mut header = header(signer, Some("k"));
            header["x5c"] = x5c.clone();
            signer.token(&header, &claims()).unwrap()
        };
        assert_eq!(look(&knows(&key), &with(&key)), Ok(Some("k".to_owned())));
        assert!(why(&knows(&key), &with(&own)).contains("does not fit"));
    }
}

#[test]
fn a_token_that_names_a_key_which_is_not_used_hears_why_and_asks_for_no_other() {
    // It was "a key that the issuer does not publish", and cost a fetch of the small budget.
    let (other, rsa) = (key(Algorithm::Es256), key(Algorithm::Rs256));
    for (member, value, part) in [
        ("use", json!("enc"), "`use` is not sig"),
        ("key_ops", json!(["sign"]), "lack verify"),
        ("alg", json!("RS512"), "fits none of the algorithms"),
        ("n", json!("AQAB"), "17 bits"),
        ("kty", json!("AKP"), "not known here"),
    ] {
        let mut unused = rsa.jwk(Some("k"));
        unused[member] = value;
        let allowed = [Algorithm::Es256, Algorithm::Rs256];
        let keys = set(&[other.jwk(Some("other")), unused], &allowed);
        let verifier = verifier(&allowed, keys);
        match look(&verifier, &signed(&rsa, Some("k"))) {
            Err(Refusal::Invalid(why)) => {
                assert!(why.detail.contains("published and not used"), "{why:?}");
                assert!(why.detail.contains(part), "{why:?}");
            }
            other => panic!("{member}: {other:?}"),
        }
    }
}

#[test]
fn leading_zeros_in_the_numbers_of_a_key_change_no_key() {
    // The key counted as usable, and every genuine token as changed.
    let key = key(Algorithm::Rs256);
    let zeros = |number: &serde_json::Value, count| {
        let number = URL_SAFE_NO_PAD.decode(number.as_str().unwrap()).unwrap();
        b64([vec![0; count], number].concat())
    };
    for (of_n, of_e) in [(1, 0), (0, 1), (1, 1), (9, 5)] {
        let mut jwk = key.jwk(Some("k"));
        jwk["n"] = json!(zeros(&jwk["n"], of_n));
        jwk["e"] = json!(zeros(&jwk["e"], of_e));
        let verifier = verifier(&[Algorithm::Rs256], set(&[jwk], &[Algorithm::Rs256]));
        let token = signed(&key, Some("k"));
        assert_eq!(look(&verifier, &token), Ok(Some("k".to_owned())));
    }
}

#[test]
fn the_type_is_one_of_the_configured_ones() {
    let key = key(Algorithm::EdDsa);
    let keys = || set(&[key.jwk(Some("k"))], &[Algorithm::EdDsa]);
    let with = |types: &[&str]| {
        let mut demands = demands(&[Algorithm::EdDsa]);
        demands.types = types.iter().map(|&typ| typ.to_owned()).collect();
        Verifier::new([issuer(demands, keys())])
    };
    let token = |typ: Option<&str>| {
        let mut header = header(&key, Some("k"));
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        key.token(&header, &claims()).unwrap()
    };
    for (types, typ, passes) in [
        (&["at+jwt"][..], Some("at+jwt"), true),
        (&["at+jwt"], Some("AT+JWT"), true),
        (&["at+jwt"], Some("application/at+jwt"), true),
        (&["at+jwt"], Some("Application/AT+jwt"), true),
        (&["at+jwt"], Some("JWT"), false),
        (&["at+jwt"], Some(""), false),
        (&["at+jwt"], None, false),
        (&["at+jwt"], Some("text/at+jwt"), false),
        (&["at+jwt"], Some("applicatioñ/at+jwt"), false),
        (&["JWT", ""], None, true),
        (&["JWT", ""], Some("JWT"), true),
        (&["JWT", ""], Some("logout+jwt"), false),
    ] {
        let found = look(&with(types), &token(typ));
        assert_eq!(found.is_ok(), passes, "{types:?} {typ:?} {found:?}");
    }
    let why = why(&with(&["at+jwt", ""]), &token(Some("JWT")));
    assert!(why.contains("at+jwt, no typ"), "{why}");
}

#[test]
fn the_token_is_for_us() {
    let key = key(Algorithm::EdDsa);
    let with = |audiences: &[&str]| {
        let mut demands = demands(&[Algorithm::EdDsa]);
        demands.audiences = audiences.iter().map(|&aud| aud.to_owned()).collect();
        Verifier::new([issuer(
            demands,
            set(&[key.jwk(Some("k"))], &[Algorithm::EdDsa]),
        )])
    };
    let ours = with(&["api", "https://api.example"]);
    for (aud, passes) in [
        (json!("api"), true),
        (json!(["other", "https://api.example"]), true),
        (json!(["api", 7]), true),
        (json!("API"), false),
        (json!("api "), false),
        (json!("https://api.example/"), false),
        (json!(["other"]), false),
        (json!([["api"]]), false),
        (json!([]), false),
        (json!(null), false),
        (json!({"api": true}), false),
    ] {
        let mut claims = claims();
        claims["aud"] = aud.clone();
        let token = key.token(&header(&key, Some("k")), &claims).unwrap();
        let found = look(&ours, &token);
        assert_eq!(found.is_ok(), passes, "{aud} {found:?}");
        assert!(look(&with(&[]), &token).is_ok());
    }
    let without = signed(&key, Some("k"));
    assert!(why(&ours, &without).contains("no `aud`"));
    assert!(look(&with(&[]), &without).is_ok());
}

#[test]
fn an_issuer_that_is_not_configured_is_refused() {
    let key = key(Algorithm::EdDsa);
    let verifier = knows(&key);
    for iss in ["https://issuer.example/", "HTTPS://issuer.example", "x"] {
        let mut claims = claims();
        claims["iss"] = json!(iss);
        let why = why(
            &verifier,
            &key.token(&header(&key, Some("k")), &claims).unwrap(),
        );
        assert!(why.contains("not among the configured ones"), "{why}");
        assert!(!why.contains(iss), "a detail repeats the token");
    }
}

#[test]
fn one_issuers_key_does_not_vouch_for_another() {
    let (a, b) = (key(Algorithm::EdDsa), key(Algorithm::EdDsa));
    let of = |iss: &str, key: &SigningKey| {
        let keys = set(&[key.jwk(Some("k"))], &[Algorithm::EdDsa]);
        std::sync::Arc::new(Issuer::new(
            iss.to_owned(),
            demands(&[Algorithm::EdDsa]),
            keys,
        ))
    };
    let verifier = Verifier::new([of(ISS, &a), of("https://b", &b)]);
    assert!(look(&verifier, &signed(&a, Some("k"))).is_ok());
    assert!(look(&verifier, &signed(&b, Some("k"))).is_err());
}

#[test]
fn a_kid_that_no_key_has_asks_for_newer_keys() {
    let key = key(Algorithm::EdDsa);
    let verifier = knows(&key);
    assert_eq!(
        look(&verifier, &signed(&key, Some("K"))),
        Err(Refusal::UnknownKey)
    );
    let forged = self::key(Algorithm::EdDsa);
    // A key may be replaced under its name: that is asked for apart from names that are not known.
    assert!(matches!(
        look(&verifier, &signed(&forged, Some("k"))),
        Err(Refusal::NamedKeyMisfits(_))
    ));
    assert!(matches!(
        look(&verifier, &signed(&forged, None)),
        Err(Refusal::NoKeyFits(_))
    ));
    let none = without_keys();
    for kid in [Some("k"), None] {
        assert_eq!(look(&none, &signed(&key, kid)), Err(Refusal::UnknownKey));
    }
}

#[test]
fn a_token_without_kid_is_by_any_key_and_counts_under_the_kid_of_the_one_that_fits() {
    let keys: Vec<SigningKey> = (0..9).map(|_| key(Algorithm::EdDsa)).collect();
    let jwks: Vec<_> = (0..9)
        .map(|n| keys[n].jwk(Some(&format!("k{n}"))))
        .collect();
    let verifier = verifier(&[Algorithm::EdDsa], set(&jwks, &[Algorithm::EdDsa]));
    assert_eq!(
        look(&verifier, &signed(&keys[7], None)),
        Ok(Some("k7".to_owned()))
    );
    // The ninth is one too many to try, and it is said.
    match look(&verifier, &signed(&keys[8], None)) {
        Err(Refusal::NoKeyFits(why)) => assert!(why.detail.contains("of 9"), "{why:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        look(&verifier, &signed(&keys[8], Some("k8"))),
        Ok(Some("k8".to_owned()))
    );
}

#[test]
fn keys_of_one_kid_are_all_tried_and_the_named_one_before_those_without_a_name() {
    let (old, new) = (key(Algorithm::EdDsa), key(Algorithm::EdDsa));
    let mut jwks: Vec<_> = (0..8).map(|_| key(Algorithm::EdDsa).jwk(None)).collect();
    jwks.extend([old.jwk(Some("k")), new.jwk(Some("k"))]);
    let verifier = verifier(&[Algorithm::EdDsa], set(&jwks, &[Algorithm::EdDsa]));
    for key in [&old, &new] {
        assert_eq!(
            look(&verifier, &signed(key, Some("k"))),
            Ok(Some("k".to_owned()))
        );
    }
}

#[test]
fn a_key_without_a_kid_vouches_for_no_kid() {
    // Whoever stole it can sign under any name, so that a revoked `kid` would be got round.
    let key = key(Algorithm::Es256);
    let pem = key.public_pem().unwrap().unwrap();
    let public = || KeySet::from_pem(pem.as_bytes(), &[Algorithm::Es256]).unwrap();
    let nameless = verifier(&[Algorithm::Es256], public());
    let named = verifier(&[Algorithm::Es256], public().called(Some("k")));
    for kid in [Some("k"), Some("other"), None] {
        assert_eq!(look(&nameless, &signed(&key, kid)), Ok(None));
        let expected = match kid {
            Some("other") => Err(Refusal::UnknownKey),
            _ => Ok(Some("k".to_owned())),
        };
        assert_eq!(look(&named, &signed(&key, kid)), expected);
    }
}
