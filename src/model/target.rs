//! What a revocation names, and the key it is found by.

use std::fmt;

/// What a revocation names, always under one exact issuer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The issuer.
    pub iss: String,
    /// What, of that issuer.
    pub what: What,
}

/// What a target is within its issuer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// A token, by its `jti`.
    Jti(String),
    /// A token without `jti`, by SHA-256 of its signing input.
    Digest([u8; 32]),
    /// A user, by `sub`.
    User(String),
    /// A session, by `sid`.
    Session(String),
    /// A client, by `client_id`.
    Client(String),
    /// A signing key, by `kid`.
    Key(String),
    /// A claim with a value.
    Claim {
        /// The claim's name.
        name: String,
        /// Its value.
        value: String,
    },
    /// The issuer itself.
    Issuer,
}

/// The kinds of target, as people and filters know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// A token.
    Token,
    /// A user.
    User,
    /// A session.
    Session,
    /// A client.
    Client,
    /// A signing key.
    Key,
    /// A claim with a value.
    Claim,
    /// An issuer.
    Issuer,
}

impl TargetKind {
    /// All of them, in the order of the API.
    pub const ALL: [Self; 7] = [
        Self::Token,
        Self::User,
        Self::Session,
        Self::Client,
        Self::Key,
        Self::Claim,
        Self::Issuer,
    ];

    /// Its word in texts and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::User => "user",
            Self::Session => "session",
            Self::Client => "client",
            Self::Key => "key",
            Self::Claim => "claim",
            Self::Issuer => "issuer",
        }
    }
}

/// How a target is named inside: tokens are named in two ways. The numbers stand in the journal
/// and in every key, and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// [`What::Jti`].
    Jti = 1,
    /// [`What::Digest`].
    Digest = 2,
    /// [`What::User`].
    User = 3,
    /// [`What::Session`].
    Session = 4,
    /// [`What::Client`].
    Client = 5,
    /// [`What::Key`].
    Key = 6,
    /// [`What::Claim`].
    Claim = 7,
    /// [`What::Issuer`].
    Issuer = 8,
}

impl KeyKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Jti,
        Self::Digest,
        Self::User,
        Self::Session,
        Self::Client,
        Self::Key,
        Self::Claim,
        Self::Issuer,
    ];

    /// The kind with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// Its place in [`Self::ALL`].
    pub const fn place(self) -> usize {
        self as usize - 1
    }

    /// The kind that people know.
    pub const fn target_kind(self) -> TargetKind {
        match self {
            Self::Jti | Self::Digest => TargetKind::Token,
            Self::User => TargetKind::User,
            Self::Session => TargetKind::Session,
            Self::Client => TargetKind::Client,
            Self::Key => TargetKind::Key,
            Self::Claim => TargetKind::Claim,
            Self::Issuer => TargetKind::Issuer,
        }
    }
}

/// Ranges of keys, for comparing what two nodes hold piece by piece.
pub const KEY_RANGES: u16 = 1 << 12;

/// 128 bits of BLAKE3 over the kind, the issuer and the parts, each with its length before it, so
/// that `("a", "b-c")` and `("a-b", "c")` differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetKey([u8; 16]);

impl TargetKey {
    /// The key of what `kind` and `parts` name under `iss`.
    pub fn of(kind: KeyKind, iss: &str, parts: [&[u8]; 2]) -> Self {
        // Nearly every key fits one buffer, and BLAKE3 is fastest on one slice.
        const INLINE: usize = 256;
        let [first, second] = parts;
        let fields = [iss.as_bytes(), first, second];
        let len = 1 + fields.iter().map(|field| field.len() + 4).sum::<usize>();
        let mut inline = [0_u8; INLINE];
        let digest = if let Some(buffer) = inline.get_mut(..len) {
            write_fields(kind, fields, buffer);
            blake3::hash(buffer)
        } else {
            let mut buffer = vec![0_u8; len];
            write_fields(kind, fields, &mut buffer);
            blake3::hash(&buffer)
        };
        let mut key = [0_u8; 16];
        key.iter_mut()
            .zip(digest.as_bytes())
            .for_each(|(to, from)| *to = *from);
        Self(key)
    }

    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// In which of [`KEY_RANGES`] it lies: its first twelve bits.
    pub fn range(&self) -> u16 {
        let [first, second, ..] = self.0;
        u16::from_be_bytes([first, second]) >> 4
    }
}

fn write_fields(kind: KeyKind, fields: [&[u8]; 3], buffer: &mut [u8]) {
    let (first, mut rest) = buffer.split_at_mut(1);
    first.fill(kind as u8);
    for field in fields {
        // Every field is bounded far below 4 GiB.
        let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
        let (head, tail) = rest.split_at_mut(4);
        head.copy_from_slice(&len.to_le_bytes());
        let (body, tail) = tail.split_at_mut(field.len());
        body.copy_from_slice(field);
        rest = tail;
    }
}

impl fmt::Debug for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TargetKey({:032x})", u128::from_be_bytes(self.0))
    }
}

impl Target {
    /// How it is named inside.
    pub fn key_kind(&self) -> KeyKind {
        match self.what {
            What::Jti(_) => KeyKind::Jti,
            What::Digest(_) => KeyKind::Digest,
            What::User(_) => KeyKind::User,
            What::Session(_) => KeyKind::Session,
            What::Client(_) => KeyKind::Client,
            What::Key(_) => KeyKind::Key,
            What::Claim { .. } => KeyKind::Claim,
            What::Issuer => KeyKind::Issuer,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> TargetKind {
        self.key_kind().target_kind()
    }

    /// Whether it is one token.
    pub fn is_token(&self) -> bool {
        self.kind() == TargetKind::Token
    }

    /// What it is found by.
    pub fn key(&self) -> TargetKey {
        let parts: [&[u8]; 2] = match &self.what {
            What::Jti(id)
            | What::User(id)
            | What::Session(id)
            | What::Client(id)
            | What::Key(id) => [id.as_bytes(), b""],
            What::Digest(digest) => [digest, b""],
            What::Claim { name, value } => [name.as_bytes(), value.as_bytes()],
            What::Issuer => [b"", b""],
        };
        TargetKey::of(self.key_kind(), &self.iss, parts)
    }
}

/// For logs: quoted and escaped, so that no identifier can look like something else.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind().as_str();
        match &self.what {
            What::Jti(id)
            | What::User(id)
            | What::Session(id)
            | What::Client(id)
            | What::Key(id) => write!(f, "{kind} {id:?}")?,
            What::Digest(digest) => {
                write!(f, "{kind} sha256:")?;
                for byte in digest {
                    write!(f, "{byte:02x}")?;
                }
            }
            What::Claim { name, value } => write!(f, "{kind} {name:?}={value:?}")?,
            What::Issuer => f.write_str(kind)?,
        }
        write!(f, " of {:?}", self.iss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(iss: &str, what: What) -> TargetKey {
        Target {
            iss: iss.to_owned(),
            what,
        }
        .key()
    }

    #[test]
    fn no_two_ways_to_cut_the_same_text_are_one_key() {
        let claim = |name: &str, value: &str| What::Claim {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let keys = [
            key("a", What::User("b-c".to_owned())),
            key("a-b", What::User("c".to_owned())),
            key("a", What::Session("b-c".to_owned())),
            key("a", claim("b", "c")),
            key("a", claim("bc", "")),
            key("a", claim("", "bc")),
            key("ab", claim("c", "")),
            key("a", What::Issuer),
            key("", What::User("a".to_owned())),
        ];
        for (i, a) in keys.iter().enumerate() {
            for b in keys.iter().skip(i + 1) {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn a_key_is_the_same_on_the_stack_and_on_the_heap() {
        // 1 kind + 3 lengths of 4 + 243 bytes is the last that fits 256.
        for len in [242_usize, 243, 244, 1024] {
            let text = "x".repeat(len);
            let mut whole = vec![KeyKind::User as u8];
            for field in ["", &text, ""] {
                whole.extend(u32::try_from(field.len()).unwrap().to_le_bytes());
                whole.extend(field.as_bytes());
            }
            assert_eq!(
                key("", What::User(text)).as_bytes()[..],
                blake3::hash(&whole).as_bytes()[..16]
            );
        }
    }

    #[test]
    fn numbers_of_kinds_come_back() {
        for kind in KeyKind::ALL {
            assert_eq!(KeyKind::from_number(kind as u32), Some(kind));
            assert_eq!(KeyKind::ALL[kind.place()], kind);
        }
        assert_eq!(KeyKind::from_number(0), None);
        assert_eq!(KeyKind::from_number(9), None);
    }
}
