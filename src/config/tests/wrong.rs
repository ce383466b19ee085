//! Every way to get it wrong, and what is said.

use super::*;

/// A file, the setting that is wrong in it, and a part of what is said.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "max_live = \"many\"",
        "max_live",
        "\"many\" is out of bounds or not a whole number",
    ),
    ("max_live = -1", "max_live", "from 10 to "),
    (
        "max_live = true",
        "max_live",
        "it is true or false; give a whole number",
    ),
    ("leeway = 60", "leeway", "give a duration with its unit"),
    ("leeway = \"soon\"", "leeway", "such as 60s, 1h30m or 30d"),
    ("leeway = \"301s\"", "leeway", "from 0s to 5m"),
    (
        "max_token_lifetime = \"0s\"",
        "max_token_lifetime",
        "from 1s to 36600d, or \"unlimited\"",
    ),
    (
        "forget_grace = \"1m\"",
        "forget_grace",
        "give forget_grace at least 2m",
    ),
    (
        "leeway = \"5m\"\nforget_grace = \"9m\"",
        "forget_grace",
        "at least 10m",
    ),
    (
        "clock_skew = \"61s\"",
        "clock_skew",
        "greater than the leeway",
    ),
    (
        "missing_kid = \"maybe\"",
        "missing_kid",
        "give one of deny, pass",
    ),
    ("insecure = \"perhaps\"", "insecure", "give true or false"),
    (
        "log_format = \"xml\"",
        "log_format",
        "give one of auto, console, json",
    ),
    (
        "log_filter = \"rescind=loud\"",
        "log_filter",
        "is not a filter",
    ),
    (
        "sweep_interval = \"0s\"",
        "sweep_interval",
        "from 10ms to 1h",
    ),
    ("sweep_settle = \"1d\"", "sweep_settle", "from 0s to 6h"),
    ("listen = []", "listen", "the list is empty"),
    ("listen = 1", "listen", "it is a number; give a list"),
    ("listen = \"50551\"", "listen", "is no address with a port"),
    (
        "listen = [\"127.0.0.1:1\", \":1\"]",
        "listen[2]",
        "give HOST:PORT",
    ),
    (
        "listen = \"host:99999\"",
        "listen",
        "is no address with a port",
    ),
    (
        "listen = \"no.such.host.invalid:1\"",
        "listen",
        "does not resolve",
    ),
    (
        "listen = \"unix:\"",
        "listen",
        "the socket's path has 0 bytes",
    ),
    ("listen = \"0.0.0.0:1\"", "listen", "add --insecure"),
    (
        "listen = \"[::]:1\"",
        "listen",
        "can be reached from other machines",
    ),
    (
        "listen = [\"[::1]:1\", \"[::1]:1\"]",
        "listen[2]",
        "stands there twice",
    ),
    ("data_dir = \"\"", "data_dir", "it is empty"),
    (
        "claims = \"sub\"",
        "claims",
        "it is a text; give names of claims",
    ),
    (
        "claims.sub = \"exp\"",
        "claims.sub",
        "already has a meaning",
    ),
    ("claims.sub = \"\"", "claims.sub", "it is empty"),
    (
        "revocable_claims = [\"exp\"]",
        "revocable_claims[1]",
        "take it out",
    ),
    (
        "revocable_claims = [\"sub\"]",
        "revocable_claims",
        "already read as sub",
    ),
    (
        "issuers = [1]",
        "issuers[1]",
        "give tables, each under [[issuers]]",
    ),
    (
        "[[issuers]]\nleeway = \"1s\"",
        "issuers[1]",
        "it has no iss",
    ),
    (
        "[[issuers]]\niss = \"i\"\n[[issuers]]\niss = \"i\"",
        "issuers[2]",
        "stands there twice",
    ),
    (
        "forget_grace = \"2m\"\n[[issuers]]\niss = \"i\"\nleeway = \"2m\"",
        "issuers[i].leeway",
        "give forget_grace at least 4m",
    ),
];

fn long() -> String {
    format!("default_issuer = \"{}\"", "i".repeat(1_025))
}

fn names() -> String {
    let names: Vec<String> = (0..17).map(|n| format!("\"c{n}\"")).collect();
    format!("revocable_claims = [{}]", names.join(","))
}

#[test]
fn an_unknown_key_names_the_file_the_key_and_the_nearest() {
    for (text, key, near) in [
        ("max_life = 1", "max_life", "did you mean \"max_live\"?"),
        ("max-live = 1", "max-live", "did you mean \"max_live\"?"),
        (
            "claims.subject = \"x\"",
            "claims.subject",
            "did you mean \"sub\"?",
        ),
        (
            "accept_changed_meaning = true",
            "accept_changed_meaning",
            "only a flag",
        ),
        ("zzz = 1", "zzz", "known here are: listen, "),
        (
            "[[issuers]]\niss = \"i\"\nleway = \"1s\"",
            "issuers[i].leway",
            "did you mean \"leeway\"?",
        ),
        (
            "[[issuers]]\nclaims.sbu = \"x\"",
            "issuers[1].claims.sbu",
            "did you mean \"sub\"?",
        ),
    ] {
        let (_kept, path) = file(text);
        let flags = ServeFlags {
            config: Some(path.clone().into()),
            ..ServeFlags::default()
        };
        let error = load(&flags, &Environment::default()).unwrap_err();
        assert!(!error.is_usage());
        let error = error.to_string();
        let start = format!("{path}: unknown key {key:?}; ");
        assert!(error.starts_with(&start) && error.contains(near), "{error}");
    }
}

#[test]
fn a_wrong_value_says_which_and_whence_and_what_to_do() {
    let (long, names) = (long(), names());
    let last = [
        (
            names.as_str(),
            "revocable_claims",
            "there are 17 names; give at most 16",
        ),
        (
            long.as_str(),
            "default_issuer",
            "it has 1025 bytes; give at most 1024",
        ),
    ];
    for (text, setting, said) in WRONG.iter().copied().chain(last) {
        let error = load_file(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{setting} (from /")), "{error}");
        assert!(error.contains(said), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_wrong_value_in_another_layer_names_that_layer() {
    let flag = load_all(&["--max-live", "x"], &[], "").unwrap_err();
    assert!(flag.is_usage() && flag.to_string().contains("(from --max-live)"));
    let variable = load_all(&[], &[("RESCIND_MAX_LIVE", "x")], "").unwrap_err();
    assert!(!variable.is_usage() && variable.to_string().contains("(from RESCIND_MAX_LIVE)"));
    let claims = load_all(&["--claims", "subject=x"], &[], "").unwrap_err();
    assert!(
        claims.to_string().contains("rename one of jti, sub"),
        "{claims}"
    );
    let claims = load_all(&["--claims", "sub"], &[], "").unwrap_err();
    assert!(
        claims
            .to_string()
            .contains("claims.sub (from --claims): it is empty"),
        "{claims}"
    );
}

#[test]
fn a_file_that_cannot_be_read_or_is_not_toml_says_where() {
    let error = load_file("leeway = \"1s\"\nmax_live 3")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(", line 2, column 10: not valid TOML"),
        "{error}"
    );
    assert!(!error.contains('\n'), "{error}");
    let missing = Environment::of([("RESCIND_CONFIG", "/no/such.toml")]);
    let error = load(&ServeFlags::default(), &missing)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cannot read the configuration file /no/such.toml"),
        "{error}"
    );
}
