//! The API's messages in few words.

use std::time::{SystemTime, UNIX_EPOCH};

use rescind::proto::v1::{self, check_request::Credential, target::Kind};

/// The issuer of everything in these tests.
pub(crate) const ISS: &str = "https://issuer.example";

/// Seconds since 1970.
pub(crate) fn now_s() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs_f64()
}

/// What a test revokes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Thing {
    Token(String),
    User(String),
    Session(String),
}

impl Thing {
    pub(crate) fn target(&self) -> v1::Target {
        let iss = ISS.to_owned();
        let kind = match self.clone() {
            Self::Token(jti) => Kind::Token(v1::TokenTarget {
                iss,
                jti,
                ..v1::TokenTarget::default()
            }),
            Self::User(sub) => Kind::User(v1::UserTarget { iss, sub }),
            Self::Session(sid) => Kind::Session(v1::SessionTarget { iss, sid }),
        };
        v1::Target { kind: Some(kind) }
    }

    /// Asks about a token that was issued then, for a day, and that only a revocation of this thing
    /// can hit.
    pub(crate) fn question(&self, iat: f64) -> v1::CheckRequest {
        let mut claims = v1::Claims {
            iss: ISS.to_owned(),
            jti: "of no interest".to_owned(),
            iat: Some(iat),
            exp: Some(iat + 86_400.0),
            ..v1::Claims::default()
        };
        match self.clone() {
            Self::Token(jti) => claims.jti = jti,
            Self::User(sub) => claims.sub = sub,
            Self::Session(sid) => claims.sid = sid,
        }
        v1::CheckRequest {
            credential: Some(Credential::Claims(claims)),
            max_staleness: None,
        }
    }
}

/// A request to revoke these; users and sessions from now on.
pub(crate) fn revoke(things: &[Thing]) -> v1::RevokeRequest {
    v1::RevokeRequest {
        targets: things.iter().map(Thing::target).collect(),
        reason: v1::Reason::Logout.into(),
        ..v1::RevokeRequest::default()
    }
}
