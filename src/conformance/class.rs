//! What a case covers: a rule of the semantics, or a class of mistakes that others have made.

use std::fmt;

use serde::Deserialize;

macro_rules! classes {
    ($($class:ident = $name:literal: $doc:literal;)*) => {
        /// What a case covers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        pub enum Class {
            $(
                #[doc = $doc]
                #[serde(rename = $name)]
                $class,
            )*
        }

        impl Class {
            /// All of them: each must have cases.
            pub const ALL: &[Self] = &[$(Self::$class),*];

            /// Its name in a case's `covers`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$class => $name,)*
                }
            }

            /// What it is, for people.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$class => $doc,)*
                }
            }
        }
    };
}

classes! {
    Scope = "scope": "issuer-scoped, typed, exact names";
    TokenIdentity = "token_identity": "what a token is known by";
    Matching = "matching": "a rule of any target denies";
    VerdictOrder = "verdict_order": "which verdict is given when several apply";
    CutOffs = "cut_offs": "`issued_before`, `version_below`, `authenticated_before`";
    Exceptions = "exceptions": "sessions and tokens that a cut-off spares";
    Forgetting = "forgetting": "how long a revocation is kept";
    Suspension = "suspension": "`all` with an end";
    RaisedBounds = "raised_bounds": "bounds that are raised or lowered";
    ChangedMeaning = "changed_meaning": "settings under which records would mean something else";
    Restore = "restore": "lifts";
    Clocks = "clocks": "clocks that jump, and the sweeper";
    RequestId = "request_id": "writes that are repeated";
    Durable = "durable": "what was answered survives a restart";
    ValidateOnly = "validate_only": "asking without doing";
    Receipts = "receipts": "what a write answers";
    Listing = "listing": "what the list shows";
    Refusals = "refusals": "requests that are wrong";
    Headers = "headers": "headers that cannot be honoured";
    Verified = "verified": "signatures that the node verifies";
    Malformed = "malformed": "texts that are no token";
    RenamedClaims = "renamed_claims": "claims under other names";
    DefaultIssuer = "default_issuer": "tokens without `iss`";

    SameSecond = "same_second": "logout and login in one second, in each order";
    FractionalTimes = "fractional_times": "fractional `iat` and `exp`";
    MissingJti = "missing_jti": "no `jti`";
    MissingIat = "missing_iat": "no `iat`";
    MissingExp = "missing_exp": "no `exp`";
    MissingSub = "missing_sub": "no `sub`";
    MissingSid = "missing_sid": "no `sid`";
    MissingKid = "missing_kid": "no `kid`";
    MissingVersion = "missing_version": "no version";
    MissingAuthTime = "missing_auth_time": "no `auth_time`";
    MalleableSignature = "malleable_signature": "signatures that can be rewritten";
    Base64Tail = "base64_tail": "base64url with spare bits, padding or another alphabet";
    ClockLead = "clock_lead": "issuers whose clock is ahead of the node's";
    Leeway = "leeway": "leeway at both ends";
    SeveralCutOffs = "several_cut_offs": "of several cut-offs the greatest counts";
    TwoIssuers = "two_issuers": "equal `sub`, `jti` and `kid` under two issuers";
    Delimiters = "delimiters": "delimiter confusion in identifiers";
    Types = "types": "type confusion in identifiers";
    Unicode = "unicode": "look-alikes and normalisation forms";
    LargeNumbers = "large_numbers": "very large numbers";
    DuplicateMembers = "duplicate_members": "two members of one name";
    LifetimeBound = "lifetime_bound": "lifetimes beyond the bound";
    ShorteningEnd = "shortening_end": "a caller's `expires_at` that would shorten";
    Refresh = "refresh": "a refresh after a cut-off, with and without `auth_time`";
    EarlierCutOffs = "earlier_cut_offs": "exceptions after earlier cut-offs";
    BansByKind = "bans_by_kind": "bans and lifts by kind";
    UnbanKeepsPassword = "unban_keeps_password": "unbanning after a password change";
    RacingLifts = "racing_lifts": "lifts racing revocations";
    RevokedAgain = "revoked_again": "re-revocation after a lift";
    VersionTakenBack = "version_taken_back": "a version typed too high and taken back";
    Quota = "quota": "quotas and their reserve";
    BadBatchEntry = "bad_batch_entry": "batches with a bad entry";
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
