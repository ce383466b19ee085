//! Records as bytes.

use std::collections::BTreeMap;

use prost::Message as _;

use crate::{
    model::{
        Boot, Dot, Entry, Exception, Floor, KeptBy, KeyKind, Note, Reason, Record, Rule, RuleKind,
        Seen, Target, UnixNanos, What,
    },
    proto::journal as wire,
};

use super::JournalError;

/// A record as bytes.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    wire::Record {
        target: Some(target_out(&record.target)),
        rules: record
            .rules
            .iter()
            .map(|(kind, rule)| rule_out(*kind, rule))
            .collect(),
        origin: record.origin.map_or(0, |boot| boot.0),
    }
    .encode_to_vec()
}

/// A record's state as bytes that are the same wherever it is held.
pub fn canonical(record: &Record) -> Vec<u8> {
    let nobodys = Record {
        origin: None,
        ..record.clone()
    };
    encode(&nobodys)
}

/// The record that these bytes are.
pub(super) fn decode(bytes: &[u8]) -> Result<Record, JournalError> {
    let record = wire::Record::decode(bytes).map_err(|_| damaged("a record cannot be read"))?;
    let target = record.target.ok_or(damaged("a record has no target"))?;
    let mut rules = BTreeMap::new();
    for rule in record.rules {
        let kind = RuleKind::from_number(rule.kind).ok_or(damaged("an unknown kind of rule"))?;
        rules.insert(kind, rule_in(rule)?);
    }
    Ok(Record {
        target: target_in(target)?,
        rules,
        origin: (record.origin != 0).then_some(Boot(record.origin)),
    })
}

fn damaged(what: &'static str) -> JournalError {
    JournalError::Damaged(what.to_owned())
}

fn target_out(target: &Target) -> wire::Target {
    let mut out = wire::Target {
        kind: target.key_kind() as u32,
        iss: target.iss.clone(),
        ..wire::Target::default()
    };
    match &target.what {
        What::Jti(id) | What::User(id) | What::Session(id) | What::Client(id) | What::Key(id) => {
            out.id.clone_from(id);
        }
        What::Digest(digest) => out.digest = digest.to_vec(),
        What::Claim { name, value } => {
            out.id.clone_from(name);
            out.value.clone_from(value);
        }
        What::Issuer => {}
    }
    out
}

fn target_in(target: wire::Target) -> Result<Target, JournalError> {
    let kind = KeyKind::from_number(target.kind).ok_or(damaged("an unknown kind of target"))?;
    let what = match kind {
        KeyKind::Jti => What::Jti(target.id),
        KeyKind::Digest => What::Digest(
            target
                .digest
                .try_into()
                .map_err(|_| damaged("a digest of another length"))?,
        ),
        KeyKind::User => What::User(target.id),
        KeyKind::Session => What::Session(target.id),
        KeyKind::Client => What::Client(target.id),
        KeyKind::Key => What::Key(target.id),
        KeyKind::Claim => What::Claim {
            name: target.id,
            value: target.value,
        },
        KeyKind::Issuer => What::Issuer,
    };
    Ok(Target {
        iss: target.iss,
        what,
    })
}

fn rule_out(kind: RuleKind, rule: &Rule) -> wire::Rule {
    let seen = |(boot, seen): (&Boot, &Seen)| wire::Seen {
        boot: boot.0,
        counter: seen.counter,
        until: seen.until.nanos(),
    };
    wire::Rule {
        kind: kind as u32,
        context: rule.context.iter().map(seen).collect(),
        entries: rule
            .entries
            .iter()
            .map(|(dot, entry)| entry_out(*dot, entry))
            .collect(),
    }
}

fn rule_in(rule: wire::Rule) -> Result<Rule, JournalError> {
    let context = rule.context.into_iter().map(|seen| {
        (
            Boot(seen.boot),
            Seen {
                counter: seen.counter,
                until: UnixNanos::from_nanos(seen.until),
            },
        )
    });
    Ok(Rule {
        context: context.collect(),
        entries: rule
            .entries
            .into_iter()
            .map(entry_in)
            .collect::<Result<_, _>>()?,
    })
}

fn entry_out(dot: Dot, entry: &Entry) -> wire::Entry {
    let floor = |floor: &Floor| {
        let (is_session, id) = match &floor.of {
            Exception::Sid(sid) => (true, sid),
            Exception::Jti(jti) => (false, jti),
        };
        wire::Floor {
            is_session,
            id: id.clone(),
            cut_off: floor.cut_off,
        }
    };
    wire::Entry {
        boot: dot.boot.0,
        counter: dot.counter,
        value: entry.cut_off,
        until: entry.until.nanos(),
        kept_by: entry.kept_by as u32,
        kept_from: entry.kept_from.nanos(),
        floors: entry.floors.iter().map(floor).collect(),
        at: entry.note.at.nanos(),
        reason: entry.note.reason as u32,
        actor: entry.note.actor.clone(),
        comment: entry.note.comment.clone(),
    }
}

fn entry_in(entry: wire::Entry) -> Result<(Dot, Entry), JournalError> {
    let floor = |floor: wire::Floor| Floor {
        of: if floor.is_session {
            Exception::Sid(floor.id)
        } else {
            Exception::Jti(floor.id)
        },
        cut_off: floor.cut_off,
    };
    let dot = Dot {
        boot: Boot(entry.boot),
        counter: entry.counter,
    };
    let kept_by = KeptBy::from_number(entry.kept_by).ok_or(damaged("an unknown bound"))?;
    let entry = Entry {
        cut_off: entry.value,
        until: UnixNanos::from_nanos(entry.until),
        kept_by,
        kept_from: UnixNanos::from_nanos(entry.kept_from),
        floors: entry.floors.into_iter().map(floor).collect(),
        note: Note {
            at: UnixNanos::from_nanos(entry.at),
            // A reason that this build does not know was given by a newer one.
            reason: Reason::from_number(entry.reason).unwrap_or_default(),
            actor: entry.actor,
            comment: entry.comment,
        },
    };
    Ok((dot, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_comes_back_as_it_was() {
        let whats = [
            What::Jti("j".to_owned()),
            What::Digest([7; 32]),
            What::User("u".to_owned()),
            What::Session("s".to_owned()),
            What::Client("c".to_owned()),
            What::Key("k".to_owned()),
            What::Claim {
                name: "tenant".to_owned(),
                value: "acme".to_owned(),
            },
            What::Issuer,
        ];
        let entry = Entry {
            cut_off: 7,
            until: UnixNanos::FOREVER,
            kept_by: KeptBy::SessionLifetime,
            kept_from: UnixNanos::from_secs(3),
            floors: vec![
                Floor {
                    of: Exception::Sid("a".to_owned()),
                    cut_off: 3,
                },
                Floor {
                    of: Exception::Jti("a".to_owned()),
                    cut_off: 0,
                },
            ],
            note: Note {
                at: UnixNanos::from_secs(5),
                reason: Reason::Policy,
                actor: "me".to_owned(),
                comment: "why".to_owned(),
            },
        };
        let dot = Dot {
            boot: Boot(u64::MAX),
            counter: 9,
        };
        let seen = Seen {
            counter: 9,
            until: UnixNanos::FOREVER,
        };
        let rule = Rule {
            context: BTreeMap::from([(dot.boot, seen)]),
            entries: BTreeMap::from([(dot, entry)]),
        };
        for what in whats {
            let record = Record {
                target: Target {
                    iss: "i".to_owned(),
                    what,
                },
                rules: RuleKind::ALL.map(|kind| (kind, rule.clone())).into(),
                origin: Some(Boot(3)),
            };
            assert_eq!(decode(&encode(&record)).unwrap(), record);
        }
    }

    #[test]
    fn bytes_that_are_no_record_are_said_to_be_damaged() {
        for bytes in [&b"\xff\xff"[..], b"", &[0x0a, 0x02, 0x08, 0x63]] {
            assert!(matches!(decode(bytes), Err(JournalError::Damaged(_))));
        }
    }
}
