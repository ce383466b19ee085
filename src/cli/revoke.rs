//! `rescind revoke` and `rescind revoke-user`.

use std::{io::Write, time::Duration};

use clap::Args;
use serde::Serialize;

use crate::{model::UnixNanos, proto::v1};

use super::{
    Context,
    connect::ConnectArgs,
    failure::{self, Failure},
    output::{self, Format, OutputArgs},
    target::TargetArgs,
    time::When,
    view::{Receipt, clean},
    words::{REASONS, parser},
};

/// Which tokens of the target.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Rules")]
struct RuleArgs {
    /// Every token: a ban, an ended session, a burnt key; with --expires-at a suspension
    #[arg(long)]
    all: bool,

    /// Tokens issued before this time: now, 2030-01-31T12:00:00Z, seconds since 1970, -5m, +1h.
    /// `now` is the server's, with the lead of the issuer's clock added, and what a user or session is
    /// revoked from without any rule
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    issued_before: Option<When>,

    /// Tokens with a lower version, and those without one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    version_below: Option<u64>,

    /// Tokens of logins before this time (auth_time), so that a refresh does not escape
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    authenticated_before: Option<When>,

    /// Spare this session ("log out all my other devices"); repeatable
    #[arg(long, value_name = "SID")]
    except_sid: Vec<String>,

    /// Spare this token; repeatable
    #[arg(long, value_name = "JTI")]
    except_jti: Vec<String>,

    /// Keep the revocation at least until then; with --all, end the suspension then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    expires_at: Option<When>,
}

impl RuleArgs {
    fn rules(&self, now: UnixNanos) -> Option<v1::Rules> {
        // What is now the server says: its clock, and the lead of the issuer's.
        let is_now = |time: Option<When>| time == Some(When::Now);
        let given = |time: Option<When>| {
            time.filter(|time| *time != When::Now)
                .map(|time| time.timestamp(now))
        };
        let rules = v1::Rules {
            all: self.all,
            issued_before: given(self.issued_before),
            version_below: self.version_below.unwrap_or_default(),
            authenticated_before: given(self.authenticated_before),
            except_sid: self.except_sid.clone(),
            except_jti: self.except_jti.clone(),
            issued_before_now: is_now(self.issued_before),
            authenticated_before_now: is_now(self.authenticated_before),
        };
        // None at all leaves the default to the server, which differs by target.
        (rules != v1::Rules::default()).then_some(rules)
    }
}

/// What every write says about itself.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "About this change")]
pub(super) struct WriteArgs {
    /// For the people who will read it later; no secrets
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) comment: String,

    /// Makes a repeat harmless, for 10 minutes
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub(super) request_id: String,

    /// Check everything and answer as if, but change nothing
    #[arg(long)]
    pub(super) validate_only: bool,

    /// Wait until other nodes enforce it too: all, or how many; says which have not
    #[arg(long, value_name = "all|COUNT", value_parser = who)]
    wait_for: Option<Who>,

    /// How long to wait for them, at most 60s
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration, requires = "wait_for")]
    wait_timeout: Duration,
}

/// What [`v1::wait_for::Who`] says, for a flag.
type Who = v1::wait_for::Who;

fn who(text: &str) -> Result<Who, String> {
    if text == "all" {
        return Ok(Who::AllFollowers(true));
    }
    let count = text.parse::<u32>().ok().filter(|count| *count > 0);
    count
        .map(Who::Followers)
        .ok_or_else(|| "give all, or a number from 1".to_owned())
}

impl WriteArgs {
    pub(super) fn wait_for(&self) -> Option<v1::WaitFor> {
        let who = self.wait_for?;
        Some(v1::WaitFor {
            who: Some(who),
            timeout: prost_types::Duration::try_from(self.wait_timeout).ok(),
        })
    }

    /// How long the server may take beside its own work.
    pub(super) fn patience(&self) -> Duration {
        self.wait_for.map_or(Duration::ZERO, |_| self.wait_timeout)
    }
}

/// Revokes a token, user, session, client, key, claim or issuer
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  rescind revoke --jwt - --reason logout < token.txt           # one token
  rescind revoke --iss $ISS --jti a1 --exp 2030-01-31T12:00:00Z
  rescind revoke --iss $ISS --sub ada --except-sid this-one    # all my other devices
  rescind revoke --iss $ISS --sub ada --all --expires-at +24h  # suspend for a day
  rescind revoke --iss $ISS --kid 2024-1 --all --reason key_compromised
  rescind revoke --iss $ISS --claim tenant=acme --issued-before now
  rescind revoke --iss $ISS --issuer --all --validate-only     # what would happen?

A token is always revoked whole, so it takes no rule; users and sessions are revoked from now on
when no rule is given; every other target needs one.")]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    why: ReasonArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten, next_help_heading = "Output")]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Logs a user out everywhere
///
/// Every token issued to the user so far is denied; tokens of a new login pass.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  rescind revoke-user --iss https://issuer.example --sub ada --reason password_changed
  rescind revoke-user --iss $ISS --sub ada --except-sid this-one       # all other devices
  rescind revoke-user --iss $ISS --sub ada --all --comment 'case 4711' # ban until restored
  rescind revoke-user --iss $ISS --sub ada --version-below 8           # token versioning")]
pub(super) struct RevokeUserArgs {
    /// The issuer, exactly as in the tokens' `iss`
    #[arg(long)]
    iss: String,

    /// The user, exactly as in the tokens' `sub`
    #[arg(long)]
    sub: String,

    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    why: ReasonArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten, next_help_heading = "Output")]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "About this change")]
struct ReasonArgs {
    /// Why
    #[arg(long, value_parser = parser(&REASONS))]
    reason: Option<v1::Reason>,
}

impl ReasonArgs {
    fn number(&self) -> i32 {
        self.reason.unwrap_or_default().into()
    }
}

pub(super) async fn run(args: RevokeArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let patience = args.write.patience();
    let request = v1::RevokeRequest {
        wait_for: args.write.wait_for(),
        targets: vec![args.target.target(context.input, context.now)?],
        rules: args.rules.rules(context.now),
        expires_at: args
            .rules
            .expires_at
            .map(|time| time.timestamp(context.now)),
        reason: args.why.number(),
        comment: args.write.comment,
        request_id: args.write.request_id,
        validate_only: args.write.validate_only,
    };
    let mut client = args.connect.client(context.environment).await?;
    client.server.be_patient(patience);
    let response = client.server.answer(client.rpc.revoke(request)).await?;
    let write = Written {
        validate_only: args.write.validate_only,
        done: "revoked",
        propagation: response.propagation,
    };
    show(context.out, args.output.output, write, response.receipts)
}

pub(super) async fn run_user(
    args: RevokeUserArgs,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let patience = args.write.patience();
    let request = v1::RevokeUserRequest {
        wait_for: args.write.wait_for(),
        iss: args.iss,
        sub: args.sub,
        rules: args.rules.rules(context.now),
        expires_at: args
            .rules
            .expires_at
            .map(|time| time.timestamp(context.now)),
        reason: args.why.number(),
        comment: args.write.comment,
        request_id: args.write.request_id,
        validate_only: args.write.validate_only,
    };
    let mut client = args.connect.client(context.environment).await?;
    client.server.be_patient(patience);
    let response = client
        .server
        .answer(client.rpc.revoke_user(request))
        .await?;
    let write = Written {
        validate_only: args.write.validate_only,
        done: "revoked",
        propagation: response.propagation,
    };
    show(context.out, args.output.output, write, response.receipt)
}

#[derive(Debug, Serialize)]
struct Shown {
    validate_only: bool,
    receipts: Vec<Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    propagation: Option<Propagation>,
}

#[derive(Debug, Serialize)]
struct Propagation {
    expected: u32,
    applied: u32,
    pending: Vec<String>,
}

/// What became of a write.
pub(super) struct Written {
    pub(super) validate_only: bool,
    /// Its word, unless it was only tried.
    pub(super) done: &'static str,
    pub(super) propagation: Option<v1::Propagation>,
}

/// Shows the receipts of a write.
pub(super) fn show(
    out: &mut dyn Write,
    format: Format,
    Written {
        validate_only,
        done,
        propagation,
    }: Written,
    receipts: impl IntoIterator<Item = v1::Receipt>,
) -> Result<u8, Failure> {
    let shown = Shown {
        validate_only,
        receipts: receipts.into_iter().map(Receipt::from).collect(),
        propagation: propagation.map(|spread| Propagation {
            expected: spread.expected,
            applied: spread.applied,
            pending: spread.pending,
        }),
    };
    if format == Format::Json {
        output::json(out, &shown)?;
        return Ok(failure::OK);
    }
    let done = if validate_only { "would be" } else { done };
    for receipt in &shown.receipts {
        writeln!(out, "{done}: {}", receipt.target)?;
        if receipt.in_force.is_empty() {
            writeln!(out, "  nothing is in force")?;
        }
        let rows = receipt.in_force.iter().map(|rule| {
            let until = format!("until {}", rule.until());
            vec![format!("  {}", rule.what()), until, rule.why()]
        });
        output::table(out, &[], rows)?;
        if let Some(time) = &receipt.not_before {
            writeln!(out, "  a token issued from {time} on passes")?;
        }
        for warning in &receipt.warnings {
            writeln!(out, "  note: {}", clean(warning))?;
        }
    }
    if let Some(spread) = &shown.propagation {
        writeln!(
            out,
            "in force on {} of {} other nodes",
            spread.applied, spread.expected
        )?;
        for pending in &spread.pending {
            writeln!(out, "  pending: {}", clean(pending))?;
        }
    }
    Ok(failure::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> v1::Receipt {
        v1::Receipt {
            target: Some(v1::Target {
                kind: Some(v1::target::Kind::Token(v1::TokenTarget {
                    iss: "i".to_owned(),
                    jti: "a1".to_owned(),
                    exp: Some(1_700_000_000.0),
                    ..v1::TokenTarget::default()
                })),
            }),
            in_force: vec![v1::InForce {
                rule: v1::RuleKind::All.into(),
                reason: v1::Reason::Logout.into(),
                actor: "unix:uid=0".to_owned(),
                ..v1::InForce::default()
            }],
            not_before: None,
            warnings: vec!["mind".to_owned()],
        }
    }

    fn written() -> Written {
        Written {
            validate_only: false,
            done: "revoked",
            propagation: None,
        }
    }

    fn shown(format: Format) -> String {
        let mut out = Vec::new();
        show(&mut out, format, written(), [receipt()]).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn receipts_for_machines_have_a_stable_shape() {
        assert_eq!(
            shown(Format::Json),
            "{\"validate_only\":false,\"receipts\":[{\"target\":{\"kind\":\"token\",\"iss\":\"i\",\
             \"jti\":\"a1\",\"exp\":1700000000},\"in_force\":[{\"rule\":\"all\",\
             \"reason\":\"logout\",\"actor\":\"unix:uid=0\",\"except_sid\":[],\
             \"except_jti\":[]}],\"warnings\":[\"mind\"]}]}\n"
        );
    }

    #[test]
    fn receipts_for_people_say_what_holds_until_when_and_why() {
        let shown = shown(Format::Table);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "revoked: token a1 of i");
        for part in ["every token", "until lifted", "logout, by unix:uid=0"] {
            assert!(lines[1].contains(part), "{shown}");
        }
        assert_eq!(lines[2], "  note: mind");
    }
}
