//! What a case looks like in JSON. Whatever is not known is an error that names the case.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    CaseError, Class,
    settings::Settings,
    wanted::{By, ErrorWanted, ReceiptWanted, RevocationWanted, StatusWanted, VerdictWanted},
};

/// The values of an object as they stand in the JSON text, so that no number is rounded.
pub(super) type Members = BTreeMap<String, Box<RawValue>>;

/// One named story.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A sentence that fails well.
    pub name: String,
    /// The section of an RFC, the CVE or the class of bugs that it comes from.
    pub source: String,
    /// What it covers.
    pub covers: Vec<Class>,
    /// The settings that it needs; without, the defaults.
    #[serde(default)]
    pub(super) settings: Settings,
    /// Whether it needs a clock that stands still between its steps.
    #[serde(default)]
    pub(super) exact: bool,
    /// What happens, in order.
    pub(super) steps: Vec<Step>,
    /// The file it stands in.
    #[serde(skip)]
    pub file: String,
}

/// One step: an object with one member, which says what is done.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// Makes a token.
    Mint(Mint),
    /// Makes another text of a token.
    Alter(Alter),
    /// Checks.
    Check(Box<Check>),
    /// Revokes.
    Revoke(Box<Revoke>),
    /// Logs a user out.
    RevokeUser(Box<RevokeUser>),
    /// Lifts.
    Restore(Box<Restore>),
    /// Two writes at the same time, whichever comes first.
    Together(Vec<Step>),
    /// Lists.
    List(List),
    /// Asks for the status.
    Status(StatusWanted),
    /// Lets time pass: `"1.5"`, `"30d"`.
    Advance(String),
    /// Somebody sets the wall clock, to this time of the case.
    SetWall(String),
    /// Sweeps until there is no more.
    Sweep(Sweep),
    /// Stops the node and starts it again on the same disk.
    Restart(Restart),
    /// A person says that the wall clock is right.
    AcceptClock(Nothing),
}

/// `{}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Makes a token and gives it a name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mint {
    /// Its name in this case.
    #[serde(rename = "as")]
    pub(super) name: String,
    /// Claims beside, or instead of, the usual ones; `null` leaves one out.
    #[serde(default)]
    pub(super) claims: Members,
    /// Members of the header likewise.
    #[serde(default)]
    pub(super) header: Members,
    /// The claims as a text, taken as it is but for placeholders.
    pub(super) raw_claims: Option<String>,
    /// The header as a text likewise.
    pub(super) raw_header: Option<String>,
    /// What it is signed with.
    #[serde(default)]
    pub(super) key: Key,
}

/// What a token is signed with.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Key {
    /// HS256.
    #[default]
    Hs256,
    /// ES256.
    Es256,
}

/// Makes another text of a token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alter {
    /// Of which.
    pub(super) token: String,
    /// The name of the result.
    #[serde(rename = "as")]
    pub(super) name: String,
    /// What is done to it.
    pub(super) how: Alteration,
}

/// What is done to a token's text.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Alteration {
    /// The other valid ES256 signature: (r, n − s).
    NegateEs256S,
    /// Another signature, which is not valid.
    OtherSignature,
    /// The spare bits of the signature's last character set.
    SignatureTailBits,
    /// The spare bits of the claims' last character set.
    ClaimsTailBits,
    /// `=` appended.
    Pad,
    /// The standard alphabet of base64.
    StandardAlphabet,
    /// The signature left out, its dot kept.
    NoSignature,
    /// The signature left out with its dot.
    TwoParts,
    /// Another part appended.
    FourParts,
    /// Two more parts appended, as a JWE has them.
    FiveParts,
    /// A space at the end.
    SpaceAfter,
    /// A line break inside.
    LineBreak,
    /// The last character cut off.
    CutShort,
    /// `Bearer ` before it.
    Bearer,
    /// `bEARER  ` before it: the scheme knows no case.
    BearerInOtherCase,
}

/// Asks whether a token may be used. By name: as token and, where it says the same, as claims.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    /// A token, by its name; or any text with `text`.
    pub(super) token: Option<String>,
    /// A text that is no minted token.
    pub(super) text: Option<String>,
    /// Claims beside, or instead of, the usual ones; `null` leaves one out.
    pub(super) claims: Option<Members>,
    /// `max_staleness`, in seconds.
    pub(super) max_staleness_s: Option<i64>,
    /// What is to be answered.
    pub(super) verdict: VerdictWanted,
    /// Which revocation denied.
    pub(super) by: Option<By>,
    /// What the detail must hold.
    #[serde(default)]
    pub(super) detail: Vec<String>,
    /// What the detail must not hold.
    #[serde(default)]
    pub(super) detail_hides: Vec<String>,
}

/// A kind of target.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum KindName {
    Token,
    User,
    Session,
    Client,
    Key,
    Claim,
    Issuer,
}

/// A kind of rule.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum RuleName {
    Unspecified,
    All,
    IssuedBefore,
    VersionBelow,
    AuthenticatedBefore,
}

/// A target; its `iss` is the case's own unless it is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    Token(TokenTarget),
    User(UserTarget),
    Session(SessionTarget),
    Client(ClientTarget),
    Key(KeyTarget),
    Claim(ClaimTarget),
    Issuer(IssuerTarget),
    /// No kind at all.
    Nothing(NoTarget),
}

/// `{}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoTarget {}

/// One token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TokenTarget {
    pub(super) iss: Option<String>,
    pub(super) jti: Option<String>,
    pub(super) exp: Option<String>,
    /// The name of a token of this case.
    pub(super) jwt: Option<String>,
    /// A text in place of a token.
    pub(super) jwt_text: Option<String>,
    /// The name of a token of this case, or `bytes*N`.
    pub signing_input_sha256: Option<String>,
}

/// A user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserTarget {
    pub(super) iss: Option<String>,
    pub(super) sub: String,
}

/// A session.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionTarget {
    pub(super) iss: Option<String>,
    pub(super) sid: String,
}

/// A client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientTarget {
    pub(super) iss: Option<String>,
    pub(super) client_id: String,
}

/// A key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTarget {
    pub(super) iss: Option<String>,
    pub(super) kid: String,
}

/// A claim's value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimTarget {
    pub(super) iss: Option<String>,
    pub(super) name: String,
    pub(super) value: String,
}

/// An issuer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerTarget {
    pub(super) iss: Option<String>,
}

/// What a revocation says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rules {
    pub(super) all: bool,
    pub(super) issued_before: Option<String>,
    pub(super) version_below: u64,
    pub(super) authenticated_before: Option<String>,
    pub(super) except_sid: Vec<String>,
    pub(super) except_jti: Vec<String>,
}

/// Revokes targets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    pub(super) targets: Vec<Target>,
    /// Names each target this often in one request, `<n>` counting.
    pub(super) spread: Option<u32>,
    /// Sends the request this often, `<n>` counting.
    pub(super) repeat: Option<u32>,
    pub(super) rules: Option<Rules>,
    pub(super) expires_at: Option<String>,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) comment: String,
    #[serde(default)]
    pub(super) request_id: String,
    #[serde(default)]
    pub(super) validate_only: bool,
    /// What each receipt says, in order; left out: anything.
    pub(super) receipts: Option<Vec<ReceiptWanted>>,
    /// That it is refused, and how.
    pub(super) error: Option<ErrorWanted>,
}

/// Logs a user out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeUser {
    pub(super) iss: Option<String>,
    pub(super) sub: String,
    pub(super) rules: Option<Rules>,
    pub(super) expires_at: Option<String>,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) comment: String,
    #[serde(default)]
    pub(super) request_id: String,
    #[serde(default)]
    pub(super) validate_only: bool,
    pub(super) receipt: Option<ReceiptWanted>,
    pub(super) error: Option<ErrorWanted>,
}

/// Lifts rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Restore {
    pub(super) targets: Vec<Target>,
    #[serde(default)]
    pub(super) rules: Vec<RuleName>,
    #[serde(default)]
    pub(super) comment: String,
    #[serde(default)]
    pub(super) request_id: String,
    #[serde(default)]
    pub(super) validate_only: bool,
    pub(super) receipts: Option<Vec<ReceiptWanted>>,
    pub(super) error: Option<ErrorWanted>,
}

/// Lists what is revoked, all pages of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// The case's own unless it is given.
    pub(super) iss: Option<String>,
    #[serde(default)]
    pub(super) kinds: Vec<KindName>,
    #[serde(default)]
    pub(super) sub: String,
    #[serde(default)]
    pub(super) reasons: Vec<String>,
    #[serde(default)]
    pub(super) page_size: u32,
    /// What is to be shown, in order and nothing else.
    pub(super) shows: Option<Vec<RevocationWanted>>,
    pub(super) error: Option<ErrorWanted>,
}

/// Sweeps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sweep {
    /// How many records it is to forget.
    pub(super) forgotten: Option<usize>,
}

/// Starts anew.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Restart {
    /// How long it is stopped.
    pub(super) after: Option<String>,
    /// With other settings.
    pub(super) settings: Option<Settings>,
    /// Although the meaning of live records has changed.
    #[serde(default)]
    pub(super) accept_changed_meaning: bool,
    /// That the start is refused, with this text; the node then starts as before.
    pub(super) error: Option<String>,
}

/// The cases of one file, each on its own so that a fault names its case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    #[expect(dead_code, reason = "for people")]
    about: String,
    #[serde(borrow)]
    cases: Vec<&'a RawValue>,
}

/// Reads the cases of one file.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Case>, CaseError> {
    let fault = |case: &dyn fmt::Display, error: &dyn fmt::Display| CaseError {
        file: file.to_owned(),
        case: case.to_string(),
        problem: error.to_string(),
    };
    let read: File<'_> =
        serde_json::from_str(text).map_err(|error| fault(&"the file itself", &error))?;
    (1..)
        .zip(read.cases)
        .map(|(number, raw)| {
            let mut case: Case = serde_json::from_str(raw.get()).map_err(|error| {
                let name = serde_json::from_str::<Named>(raw.get());
                match name {
                    Ok(Named { name }) => fault(&name, &error),
                    Err(_) => fault(&format!("number {number}"), &error),
                }
            })?;
            file.clone_into(&mut case.file);
            Ok(case)
        })
        .collect()
}

#[derive(Deserialize)]
struct Named {
    name: String,
}
