mod served;

use super::*;

fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(["rescind"].iter().chain(line))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_teaches_by_example() {
    let mut command = Cli::command();
    command.build();
    let teaches = |command: &clap::Command| {
        command.get_after_long_help().is_some() || command.get_name() == "completions"
    };
    for command in command
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        for leaf in std::iter::once(command).chain(command.get_subcommands()) {
            let is_group = leaf.has_subcommands() || leaf.get_name() == "help";
            assert!(is_group || teaches(leaf), "{}", leaf.get_name());
            assert!(leaf.get_about().is_some(), "{}", leaf.get_name());
        }
    }
}

#[test]
fn a_target_is_exactly_one_thing_of_one_issuer() {
    for line in [
        &["revoke", "--jwt", "-"][..],
        &["revoke", "--iss", "i", "--jti", "j", "--exp", "+1h"],
        &[
            "revoke",
            "--iss",
            "i",
            "--sub",
            "s",
            "--issued-before",
            "-5m",
        ],
        &["revoke", "--iss", "i", "--claim", "tenant=acme", "--all"],
        &[
            "revoke",
            "--iss",
            "i",
            "--issuer",
            "--all",
            "--reason",
            "key_compromised",
        ],
        &[
            "restore",
            "--iss",
            "i",
            "--kid",
            "k",
            "--rule",
            "all",
            "--rule",
            "issued_before",
        ],
        &["revoke-user", "--iss", "i", "--sub", "s"],
        &["check", "-", "--output", "json"],
        &["check", "--claims", "{}"],
        &["watch", "--kinds", "user,session", "--until-caught-up"],
        &["config", "show", "--max-live", "10"],
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    }
    for line in [
        &["revoke"][..],
        &["revoke", "--sub", "s"],
        &["revoke", "--iss", "i"],
        &["revoke", "--iss", "i", "--sub", "s", "--sid", "t"],
        &["revoke", "--iss", "i", "--claim", "tenant"],
        &[
            "revoke",
            "--iss",
            "i",
            "--sub",
            "s",
            "--issued-before",
            "soon",
        ],
        &["revoke", "--iss", "i", "--sub", "s", "--version-below", "0"],
        &["revoke", "--iss", "i", "--signing-input-sha256", "abc"],
        &["revoke", "--jwt", "-", "--exp", "+1h"],
        &["revoke-user", "--iss", "i"],
        &["revoke-user", "--sub", "s"],
        &["restore", "--iss", "i", "--sub", "s", "--rule", "some"],
        &["check"],
        &["check", "t", "--claims", "{}"],
        &["status", "--address", "nowhere"],
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line:?}");
    }
}

#[test]
fn a_token_comes_from_the_argument_or_from_standard_input_and_a_digest_from_hex() {
    let target = |line: &[&str], mut input: &[u8]| {
        let Command::Revoke(args) = parse(line).unwrap().command else {
            panic!("not revoke");
        };
        args.target.target(&mut input, UnixNanos::ZERO)
    };
    let token = |kind: Option<crate::proto::v1::target::Kind>| match kind {
        Some(crate::proto::v1::target::Kind::Token(token)) => token,
        other => panic!("{other:?}"),
    };
    let given = target(&["revoke", "--jwt", "a.b.c"], b"").unwrap();
    assert_eq!(token(given.kind).jwt, "a.b.c");
    let read = target(&["revoke", "--jwt", "-"], b"a.b.c\n").unwrap();
    assert_eq!(token(read.kind).jwt, "a.b.c");
    assert!(target(&["revoke", "--jwt", "-"], b"\n").is_err());
    let hex = "0f".repeat(32);
    let digest = target(
        &["revoke", "--iss", "i", "--signing-input-sha256", &hex],
        b"",
    )
    .unwrap();
    assert_eq!(token(digest.kind).signing_input_sha256, [15; 32]);
    let failure = target(&["revoke", "--iss", "i", "--sub", "s", "--exp", "+1h"], b"").unwrap_err();
    assert!(failure.to_string().contains("--expires-at"), "{failure}");
}
