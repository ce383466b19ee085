//! Which of the claims that rules compare the tokens of an issuer carry.

use serde::{Deserialize, Serialize};

use crate::model::{Claims, RuleKind};

const WITHOUT_USER: u8 = 1;
const WITH_IAT: u8 = 1 << 1;
const WITHOUT_IAT: u8 = 1 << 2;
const WITH_AUTH_TIME: u8 = 1 << 3;
const WITHOUT_AUTH_TIME: u8 = 1 << 4;
const WITH_VERSION: u8 = 1 << 5;
const WITHOUT_VERSION: u8 = 1 << 6;

/// What the tokens of an issuer were seen to carry and to lack. A token without the claim that a rule
/// compares is denied by every cut-off of that rule, and so is that of the next login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenClaims(pub(super) u8);

impl SeenClaims {
    /// What one token says.
    pub fn of(claims: &Claims<'_>) -> Self {
        let one_of = |has: bool, with: u8, without: u8| if has { with } else { without };
        let user = one_of(!claims.sub.is_empty(), 0, WITHOUT_USER);
        let iat = one_of(claims.iat.is_some(), WITH_IAT, WITHOUT_IAT);
        let auth_time = one_of(
            claims.auth_time.is_some(),
            WITH_AUTH_TIME,
            WITHOUT_AUTH_TIME,
        );
        let version = one_of(claims.version.is_some(), WITH_VERSION, WITHOUT_VERSION);
        Self(user | iat | auth_time | version)
    }

    /// Whether tokens were seen that name no user.
    pub fn lacks_user(self) -> bool {
        self.0 & WITHOUT_USER != 0
    }

    /// The claim that a rule compares, where tokens without it were seen.
    pub fn lacks(self, kind: RuleKind) -> Option<&'static str> {
        let (_, without, name) = bits(kind)?;
        (self.0 & without != 0).then_some(name)
    }

    /// Whether tokens were seen, and none with the claim that a rule compares: then no later login
    /// escapes a cut-off.
    pub fn never_has(self, kind: RuleKind) -> bool {
        bits(kind).is_some_and(|(with, ..)| self.0 & with == 0) && self.lacks(kind).is_some()
    }
}

fn bits(kind: RuleKind) -> Option<(u8, u8, &'static str)> {
    match kind {
        RuleKind::All => None,
        RuleKind::IssuedBefore => Some((WITH_IAT, WITHOUT_IAT, "iat")),
        RuleKind::AuthenticatedBefore => Some((WITH_AUTH_TIME, WITHOUT_AUTH_TIME, "auth_time")),
        RuleKind::VersionBelow => Some((WITH_VERSION, WITHOUT_VERSION, "version")),
    }
}
