mod keys;
mod wrong;

use std::io::Write as _;

use clap::{Args as _, Parser as _};

use crate::model::{Lifetime, MissingKid};

use super::*;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    flags: ServeFlags,
}

/// A file in which to say `text`, and the environment that names it.
fn file(text: &str) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (file, path)
}

fn load_all(
    flags: &[&str],
    environment: &[(&str, &str)],
    text: &str,
) -> Result<Loaded, ConfigError> {
    let (_kept, path) = file(text);
    let flags = Command::try_parse_from(
        ["serve", "--config", &path]
            .into_iter()
            .chain(flags.iter().copied()),
    )
    .unwrap()
    .flags;
    let mut variables = Environment::of([("HOME", "/home/ada")]);
    variables.extend(environment);
    load(&flags, &variables)
}

fn load_file(text: &str) -> Result<Loaded, ConfigError> {
    load_all(&[], &[], text)
}

#[test]
fn without_a_word_it_listens_on_loopback_and_keeps_its_state_at_home() {
    let loaded = load_file("").unwrap();
    assert_eq!(
        loaded.config,
        Config {
            storage: Storage::Directory("/home/ada/.local/state/rescind".into()),
            ..Config::default()
        }
    );
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(Listen::default().to_string(), "127.0.0.1:50551");
}

#[test]
fn each_layer_beats_the_one_below_it() {
    let max_live = |flags: &[&str], environment: &[(&str, &str)], text: &str| {
        load_all(flags, environment, text).unwrap().config.max_live
    };
    let flag: &[&str] = &["--max-live", "1000"];
    let variable: &[(&str, &str)] = &[("RESCIND_MAX_LIVE", "2_000")];
    let text = "max_live = 3000";
    assert_eq!(max_live(&[], &[], ""), limits::LIVE_DEFAULT);
    assert_eq!(max_live(&[], &[], text), 3_000);
    assert_eq!(max_live(&[], variable, text), 2_000);
    assert_eq!(max_live(flag, variable, text), 1_000);
    assert_eq!(max_live(flag, &[], ""), 1_000);
}

#[test]
fn an_empty_variable_is_absent() {
    let loaded = load_all(&[], &[("RESCIND_LEEWAY", "")], "leeway = \"5s\"").unwrap();
    assert_eq!(
        loaded.config.semantics.defaults.leeway,
        Duration::from_secs(5)
    );
}

#[test]
fn a_switch_can_be_turned_off_again_by_a_stronger_layer() {
    let text = "ephemeral = true";
    assert_eq!(load_file(text).unwrap().config.storage, Storage::Ephemeral);
    let off = load_all(&["--ephemeral=false"], &[], text).unwrap();
    assert_ne!(off.config.storage, Storage::Ephemeral);
    let on = load_all(&["--ephemeral"], &[("RESCIND_EPHEMERAL", "no")], "").unwrap();
    assert_eq!(on.config.storage, Storage::Ephemeral);
}

#[test]
fn claim_names_of_all_layers_join_name_by_name() {
    let loaded = load_all(
        &["--claims", "version=ver"],
        &[("RESCIND_CLAIMS", "sid=session,version=v")],
        "claims = { sub = \"userId\", sid = \"s\" }",
    )
    .unwrap();
    let claims = loaded.config.semantics.defaults.claims;
    assert_eq!(
        (&*claims.sub, &*claims.sid, &*claims.version, &*claims.jti),
        ("userId", "session", "ver", "jti")
    );
}

#[test]
fn an_issuer_overrides_what_it_names_and_inherits_the_rest() {
    let loaded = load_file(
        r#"
        default_issuer = "https://a.example"
        leeway = "30s"
        max_token_lifetime = "365days"
        revocable_claims = ["tenant"]
        claims = { sub = "userId", version = "ver" }
        [[issuers]]
        iss = "https://a.example"
        leeway = "2m"
        missing_kid = "pass"
        max_session_lifetime = "unlimited"
        claims = { sub = "uid" }
        "#,
    )
    .unwrap();
    let semantics = loaded.config.semantics;
    let issuer = semantics.of("https://a.example");
    assert_eq!(
        semantics.default_issuer.as_deref(),
        Some("https://a.example")
    );
    assert_eq!(issuer.leeway, Duration::from_secs(120));
    assert_eq!(issuer.missing_kid, MissingKid::Pass);
    assert_eq!(issuer.max_session_lifetime, Lifetime::Unlimited);
    assert_eq!(
        (&*issuer.claims.sub, &*issuer.claims.version),
        ("uid", "ver")
    );
    assert_eq!(issuer.revocable_claims, ["tenant"]);
    let year = Lifetime::AtMost(Duration::from_secs(365 * 86_400));
    assert_eq!(issuer.max_token_lifetime, year);
    assert_eq!(semantics.of("https://b.example").claims.sub, "userId");
}

#[test]
fn listeners_come_as_one_text_or_several() {
    let of = |flags: &[&str], environment: &[(&str, &str)], text: &str| -> Vec<String> {
        let loaded = load_all(flags, environment, text).unwrap();
        loaded.config.listen.iter().map(Listen::to_string).collect()
    };
    assert_eq!(
        of(&[], &[], "listen = \"unix:/run/r.sock\""),
        ["unix:/run/r.sock"]
    );
    assert_eq!(
        of(
            &[],
            &[("RESCIND_LISTEN", "localhost:1, [::1]:0,[::1]:0")],
            ""
        ),
        ["127.0.0.1:1", "[::1]:0", "[::1]:0"]
    );
    assert_eq!(
        of(
            &["--listen", "0.0.0.0:1", "--listen", "unix:/s", "--insecure"],
            &[("RESCIND_LISTEN", "127.0.0.1:9")],
            ""
        ),
        ["0.0.0.0:1", "unix:/s"]
    );
}

#[test]
fn an_unknown_variable_only_warns() {
    let loaded = load_all(
        &[],
        &[
            ("RESCIND_MAX_LIFE", "1"),
            ("RESCIND_PORT", "tcp://10.0.0.1:50551"),
            ("RESCIND_SERVICE_HOST", "10.0.0.1"),
            ("RESCIND_PORT_50551_TCP_ADDR", "10.0.0.1"),
            ("RESCIND_ADDRESS", "127.0.0.1:1"),
            ("RESCIND_ISSUERS", "x"),
        ],
        "",
    )
    .unwrap();
    let warnings = loaded.warnings;
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    assert!(
        warnings[0].contains("only be set in the file"),
        "{warnings:#?}"
    );
    assert!(
        warnings[1].contains("did you mean RESCIND_MAX_LIVE?"),
        "{warnings:#?}"
    );
    assert!(
        warnings[2].starts_with(
            "RESCIND_PORT, RESCIND_PORT_50551_TCP_ADDR, RESCIND_SERVICE_HOST in the environment"
        ),
        "{warnings:#?}"
    );
}

#[test]
fn the_state_directory_follows_systemd_then_xdg_then_home() {
    let of = |environment: &Environment| {
        load(&ServeFlags::default(), environment)
            .unwrap()
            .config
            .storage
    };
    let mut environment = Environment::default();
    for (name, value, expected) in [
        ("NONE", "", "/var/lib/rescind"),
        ("HOME", "/root", "/root/.local/state/rescind"),
        (
            "XDG_STATE_HOME",
            "relative/is/ignored",
            "/root/.local/state/rescind",
        ),
        ("XDG_STATE_HOME", "/state", "/state/rescind"),
        ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b", "/var/lib/a"),
        ("RESCIND_DATA_DIR", "here", "here"),
    ] {
        environment.extend(&[(name, value)]);
        assert_eq!(of(&environment), Storage::Directory(expected.into()));
    }
}

#[test]
fn a_data_dir_beside_ephemeral_is_warned_about() {
    let loaded = load_all(&["--ephemeral"], &[], "data_dir = \"/d\"").unwrap();
    assert_eq!(loaded.config.storage, Storage::Ephemeral);
    assert!(
        loaded.warnings[0].contains("data_dir"),
        "{:?}",
        loaded.warnings
    );
}

const EVERYTHING: &str = r#"
    listen = ["0.0.0.0:1", "unix:/s"]
    insecure = true
    data_dir = "/d"
    address_file = "/a"
    max_live = 12
    sweep_interval = "1s500ms"
    default_issuer = "a \"quoted\" issuer"
    max_token_lifetime = "unlimited"
    clock_skew = "5s"
    revocable_claims = ["tenant"]
    claims.sub = "userId"
    [[issuers]]
    iss = "https://a.example"
    leeway = "2m"
    claims.sub = "uid"
"#;

#[test]
fn what_is_shown_gives_the_same_configuration_again() {
    for text in ["", EVERYTHING] {
        let loaded = load_file(text).unwrap();
        let again = load_file(&loaded.to_toml()).unwrap();
        assert_eq!(again.config, loaded.config, "{}", loaded.to_toml());
    }
}

#[test]
fn what_is_shown_tells_where_each_value_came_from() {
    let loaded = load_all(
        &["--max-live", "11"],
        &[("RESCIND_LEEWAY", "6s"), ("RESCIND_CLAIMS", "sid=s")],
        EVERYTHING,
    )
    .unwrap();
    let shown = loaded.to_toml();
    let source = |key: &str| {
        let line = shown.lines().find(|line| line.starts_with(key)).unwrap();
        line.rsplit_once("# ").unwrap().1.to_owned()
    };
    assert_eq!(source("max_live"), "--max-live");
    assert_eq!(source("leeway"), "RESCIND_LEEWAY");
    assert_eq!(source("sid"), "RESCIND_CLAIMS");
    assert!(source("sub").starts_with('/'));
    assert_eq!(source("log_format"), "default");
    let json = loaded.to_json();
    assert_eq!(json["max_live"]["value"], 11);
    assert_eq!(json["issuers"][0]["forget_grace"]["source"], "inherited");
    assert_eq!(json["issuers"][0]["claims"]["sub"]["value"], "uid");
}

#[test]
fn every_setting_has_one_name_in_three_spellings() {
    let command = ServeFlags::augment_args(clap::Command::new("serve"));
    let mut flags: Vec<String> = command
        .get_arguments()
        .filter_map(|argument| Some(argument.get_long()?.replace('-', "_")))
        .filter(|name| {
            !["config", "accept_changed_meaning", "accept_empty_journal"].contains(&name.as_str())
        })
        .collect();
    flags.push("issuers".to_owned());
    flags.sort();
    let mut settings = schema::SETTINGS.to_vec();
    settings.sort_unstable();
    assert_eq!(flags, settings);
    // None is declared and then forgotten on the way to its layer.
    for name in settings {
        if name == "issuers" {
            continue;
        }
        let flag = format!("--{}=wrong", name.replace('_', "-"));
        let given = Command::try_parse_from(["serve", &flag]).unwrap().flags;
        let merged = Layer::merge([given.layer()]).unwrap();
        assert!(merged.contains_key(name), "{name}");
    }
}

/// `user.id` was accepted, and never matched anything.
#[test]
fn a_name_that_looks_like_a_path_is_told_how_paths_are_written() {
    let warnings = |text: &str| load_file(text).unwrap().warnings;
    let told = warnings("ephemeral = true\nclaims = { sub = \"user.id\" }");
    let [warning] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(
        warning.contains("\"user.id\"") && warning.contains("\"/user/id\""),
        "{warning}"
    );
    for fine in [
        "ephemeral = true\nclaims = { sub = \"/user/id\" }",
        "ephemeral = true\nrevocable_claims = [\"https://shop.example/roles\", \"/a~1b/c~0\"]",
    ] {
        assert_eq!(warnings(fine), Vec::<String>::new(), "{fine}");
    }
    for wrong in [
        "claims = { sub = \"/user~id\" }",
        "revocable_claims = [\"/a~\"]",
    ] {
        let error = load_file(wrong).unwrap_err().to_string();
        assert!(error.contains("JSON Pointer"), "{error}");
    }
    for fixed in [
        "claims = { sub = \"/iss\" }",
        "revocable_claims = [\"/exp\"]",
    ] {
        assert!(load_file(fixed).is_err(), "{fixed}");
    }
}

#[test]
fn an_issuer_that_is_a_template_is_refused() {
    let text = "[[issuers]]\niss = \"https://login.example/{tenantid}/v2.0\"";
    let error = load_file(text).unwrap_err().to_string();
    assert!(
        error.contains("is a template") && error.contains("real token"),
        "{error}"
    );
}
