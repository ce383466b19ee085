//! Does an issuer that we know vouch for this token?
//!
//! Everything about the signature is settled here: which issuer, which algorithm, which key, whom
//! the token is for. Times are not: the decision judges them, for verified tokens and others alike.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;

use crate::{
    limits,
    model::{Invalid, UnixNanos},
};

use super::{
    Parts, Value,
    algorithm::Algorithm,
    cache::{Cache, Vouched},
    keys::{Key, KeySet},
};

/// What is demanded of the tokens of an issuer, beside their times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demands {
    /// The algorithms; never empty.
    pub algorithms: Vec<Algorithm>,
    /// Whom tokens are for: one of these must be in `aud`. Empty: `aud` is not looked at.
    pub audiences: Vec<String>,
    /// The values of `typ`, without `application/`; an empty text stands for no `typ`.
    pub types: Vec<String>,
}

/// An issuer whose tokens are verified here.
#[derive(Debug)]
pub struct Issuer {
    /// Its `iss`.
    pub iss: String,
    /// What is demanded of its tokens.
    pub demands: Demands,
    keys: ArcSwap<KeySet>,
    /// Counts the key sets: what an older set vouched for is looked at anew.
    generation: AtomicU64,
}

impl Issuer {
    /// An issuer with the keys that are known at the start.
    pub fn new(iss: String, demands: Demands, keys: KeySet) -> Self {
        Self {
            iss,
            demands,
            keys: ArcSwap::from_pointee(keys),
            generation: AtomicU64::new(0),
        }
    }

    /// Puts a new key set in place of the old one.
    pub fn set_keys(&self, keys: KeySet) {
        self.keys.store(Arc::new(keys));
        // After the keys: a signature checked against the old set counts as of the old set.
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// The keys.
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.load_full()
    }
}

/// Why a token is not vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not.
    Invalid(Invalid),
    /// No key of the issuer has the token's `kid`: a newer key set might.
    UnknownKey,
    /// No key that was tried fits, and neither the token nor the keys say by a `kid` which one is
    /// meant: a newer key set might have it.
    NoKeyFits(Invalid),
    /// The key that the token names does not fit: it may have been replaced under its old name, so a
    /// newer key set might have another.
    NamedKeyMisfits(Invalid),
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// All issuers whose tokens are verified here.
#[derive(Debug)]
pub struct Verifier {
    issuers: HashMap<String, Arc<Issuer>>,
    cache: Cache,
}

impl Verifier {
    /// Verifies for these issuers.
    pub fn new(issuers: impl IntoIterator<Item = Arc<Issuer>>) -> Self {
        Self {
            issuers: issuers
                .into_iter()
                .map(|issuer| (issuer.iss.clone(), issuer))
                .collect(),
            cache: Cache::default(),
        }
    }

    /// The issuers.
    pub fn issuers(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.issuers.values()
    }

    /// Whether an issuer vouches for a token; answers with the `kid` of the key that verified it.
    /// A key without one verifies tokens under any `kid`, so what they say there counts for
    /// nothing: the answer is `None` then.
    ///
    /// The signature may be known from an earlier time. Nothing else is taken from there: the
    /// header and the claims are judged anew.
    ///
    /// # Errors
    /// When nobody vouches for it, with what is wrong and what to do.
    pub fn verify(
        &self,
        parts: &Parts<'_>,
        iss: &str,
        exp: Option<UnixNanos>,
        now: UnixNanos,
    ) -> Result<Option<Arc<str>>, Refusal> {
        let issuer = self.issuers.get(iss).ok_or_else(|| {
            Invalid::new(
                "the token's issuer is not among the configured ones: see whether `iss` is right to \
                 the last character, or add it under [[issuers]] with its keys",
            )
        })?;
        let algorithm = is_as_demanded(parts, &issuer.demands)?;
        let name = Cache::name(parts);
        let generation = issuer.generation.load(Ordering::SeqCst);
        if let Some(vouched) = self.cache.vouched(&name, generation, now) {
            return Ok(vouched.kid);
        }
        let keys = issuer.keys.load();
        let kid = verified_by(parts, algorithm, &keys)?;
        self.cache.add(
            name,
            Vouched {
                generation,
                kid: kid.clone(),
                exp,
            },
        );
        Ok(kid)
    }
}

/// The header and the audience; the algorithm is one that the issuer is configured with.
fn is_as_demanded(parts: &Parts<'_>, demands: &Demands) -> Result<Algorithm, Invalid> {
    brings_no_key(parts)?;
    let algorithm = algorithm(parts, demands)?;
    is_of_type(parts, &demands.types)?;
    is_for_us(parts, &demands.audiences)?;
    Ok(algorithm)
}

pub(super) fn brings_no_key(parts: &Parts<'_>) -> Result<(), Invalid> {
    // `x5c` is ignored: some issuers send their certificates always, and nothing is taken from them.
    for name in ["jwk", "jku", "x5u"] {
        if parts.header.members.get(name).is_some() {
            return Err(Invalid::new(format!(
                "header `{name}` brings or points to a key; only configured keys count, so have \
                 the issuer leave it out (RFC 8725 section 3.10)"
            )));
        }
    }
    Ok(())
}

pub(super) fn algorithm(parts: &Parts<'_>, demands: &Demands) -> Result<Algorithm, Invalid> {
    let algorithm = parts.header.alg.parse::<Algorithm>().ok();
    algorithm
        .filter(|algorithm| demands.algorithms.contains(algorithm))
        .ok_or_else(|| {
            let names: Vec<&str> = demands.algorithms.iter().map(|a| a.name()).collect();
            Invalid::new(format!(
                "header `alg` is none of the algorithms configured for this issuer ({})",
                names.join(", ")
            ))
        })
}

pub(super) fn is_of_type(parts: &Parts<'_>, types: &[String]) -> Result<(), Invalid> {
    let typ = parts.header.typ.as_ref();
    let typ = match typ.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        _ => typ,
    };
    if types
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(typ))
    {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "header `typ` is none of the types configured for this issuer ({}): is this another kind \
         of token, such as an ID token? (RFC 8725 section 3.11)",
        shown(types)
    )))
}

fn shown(types: &[String]) -> String {
    let shown: Vec<&str> = types
        .iter()
        .map(|typ| if typ.is_empty() { "no typ" } else { typ })
        .collect();
    shown.join(", ")
}

pub(super) fn is_for_us(parts: &Parts<'_>, audiences: &[String]) -> Result<(), Invalid> {
    if audiences.is_empty() {
        return Ok(());
    }
    let is_ours = |aud: &str| audiences.iter().any(|audience| audience == aud);
    let found = match parts.members.get("aud") {
        Some(Value::Text(aud)) => is_ours(aud),
        Some(Value::Array(all)) => all
            .elements()
            .any(|aud| matches!(aud, Ok(Value::Text(aud)) if is_ours(&aud))),
        None => {
            return Err(Invalid::new(
                "the token has no `aud`, and audiences are configured for this issuer",
            ));
        }
        Some(_) => false,
    };
    if found {
        return Ok(());
    }
    Err(Invalid::new(
        "`aud` holds none of the audiences configured for this issuer: the token is for somebody \
         else (RFC 7519 section 4.1.3)",
    ))
}

/// The `kid` of the key whose signature it is.
pub(super) fn verified_by(
    parts: &Parts<'_>,
    algorithm: Algorithm,
    keys: &KeySet,
) -> Result<Option<Arc<str>>, Refusal> {
    let kid = parts.header.kid.as_ref();
    let is_meant = |key: &&Key| !kid.is_empty() && key.kid().is_some_and(|of| **of == *kid);
    // Keys without a `kid`, such as that of a PEM, stand for any; a token without one means any.
    let may_be_meant = |key: &&Key| kid.is_empty() || key.kid().is_none();
    let all = || keys.keys().iter();
    let named = all().filter(is_meant).chain(all().filter(may_be_meant));
    let candidates: Vec<&Key> = named
        .clone()
        .filter(|key| key.may_verify(algorithm))
        .collect();
    for key in candidates.iter().take(limits::KEYS_TRIED_MAX) {
        let fits = key.verifies(
            algorithm,
            parts.signing_input,
            parts.signature,
            parts.signature_text,
        );
        if fits {
            return Ok(key.kid().cloned());
        }
    }
    if named.clone().next().is_none() {
        // A newer set would not have it either, as a rule; and whoever set it up has to look there.
        return Err(match keys.why_unused(kid) {
            Some(why) => Refusal::Invalid(Invalid::new(format!(
                "the key that the token names is published and not used: {why}"
            ))),
            None => Refusal::UnknownKey,
        });
    }
    let invalid = no_key_fits(candidates.len(), kid.is_empty());
    if all().any(|key| is_meant(&key)) {
        return Err(Refusal::NamedKeyMisfits(invalid));
    }
    Err(Refusal::NoKeyFits(invalid))
}

fn no_key_fits(candidates: usize, names_none: bool) -> Invalid {
    match candidates {
        0 => Invalid::new(
            "no key of this issuer may verify the token's `alg`: its type, curve, `alg`, `use` or \
             `key_ops` says otherwise",
        ),
        many if many > limits::KEYS_TRIED_MAX => Invalid::new(format!(
            "the signature fits none of the {} keys that were tried, of {many} that it may be by: \
             have the issuer set `kid` in its tokens and keys",
            limits::KEYS_TRIED_MAX
        )),
        _ if names_none => Invalid::new(
            "the signature does not fit: the token was changed, or signed with a key that is not \
             among the issuer's",
        ),
        _ => Invalid::new(
            "the signature does not fit: the token was changed, or signed with another key than the \
             one it names",
        ),
    }
}
