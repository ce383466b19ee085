//! Why a token does or does not verify, step by step: for people.

use std::borrow::Cow;

use super::{
    Issuer, Parts, Refusal,
    keys::KeySet,
    verify::{self, Demands},
};

/// One step of verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is looked at.
    pub name: &'static str,
    /// What was found; `Err`: why the token is refused here.
    pub found: Result<String, Cow<'static, str>>,
}

fn step(name: &'static str, found: Result<String, Cow<'static, str>>) -> Step {
    Step { name, found }
}

/// Looks at everything that verification looks at but times, each on its own, so that a person sees
/// all that is wrong at once. Unlike a detail of Check this repeats what the token says.
pub fn explain(parts: &Parts<'_>, issuer: &Issuer) -> Vec<Step> {
    let Demands {
        audiences, types, ..
    } = &issuer.demands;
    let keys = issuer.keys();
    let algorithm = verify::algorithm(parts, &issuer.demands);
    let kid = parts.header.kid.as_ref();
    let signature = match &algorithm {
        Err(_) => Err("not looked at: no algorithm to verify it with".into()),
        Ok(algorithm) => match verify::verified_by(parts, *algorithm, &keys) {
            Ok(Some(by)) => Ok(format!("it is of the key \"{by}\"")),
            Ok(None) => Ok("it is of the key, which has no `kid`".to_owned()),
            Err(Refusal::UnknownKey) => Err("not looked at: no key to verify it with".into()),
            Err(
                Refusal::Invalid(why) | Refusal::NoKeyFits(why) | Refusal::NamedKeyMisfits(why),
            ) => Err(why.detail),
        },
    };
    vec![
        step(
            "key in the token",
            verify::brings_no_key(parts)
                .map(|()| "none".to_owned())
                .map_err(|why| why.detail),
        ),
        step(
            "algorithm",
            algorithm
                .map(|algorithm| algorithm.name().to_owned())
                .map_err(|why| why.detail),
        ),
        step(
            "type",
            verify::is_of_type(parts, types)
                .map(|()| match parts.header.typ.as_ref() {
                    "" => "none, which is allowed".to_owned(),
                    typ => typ.to_owned(),
                })
                .map_err(|why| why.detail),
        ),
        step(
            "audience",
            verify::is_for_us(parts, audiences)
                .map(|()| {
                    let found = if audiences.is_empty() {
                        "not looked at: no audiences are configured"
                    } else {
                        "it is for us"
                    };
                    found.to_owned()
                })
                .map_err(|why| why.detail),
        ),
        step("keys", loaded(&keys)),
        step("key", named(kid, &keys)),
        step("signature", signature),
    ]
}

fn loaded(keys: &KeySet) -> Result<String, Cow<'static, str>> {
    let skipped = match keys.skipped() {
        [] => String::new(),
        skipped => format!("; skipped {}: {}", skipped.len(), skipped.join("; ")),
    };
    match keys.keys() {
        [] => Err(format!("there are none{skipped}").into()),
        keys => Ok(format!("{}{skipped}", keys.len())),
    }
}

fn named(kid: &str, keys: &KeySet) -> Result<String, Cow<'static, str>> {
    let known: Vec<&str> = keys
        .keys()
        .iter()
        .filter_map(|key| Some(&**key.kid()?))
        .collect();
    let some_are_nameless = known.len() < keys.keys().len();
    if kid.is_empty() {
        return Ok("the token names none: each is tried".to_owned());
    }
    if known.contains(&kid) {
        return Ok(format!("the token names \"{kid}\", and there is one"));
    }
    if some_are_nameless {
        return Ok(format!(
            "the token names \"{kid}\"; keys without a `kid` are tried"
        ));
    }
    Err(format!(
        "the token names \"{kid}\", and no key has that `kid`; known: {}",
        known.join(", ")
    )
    .into())
}
