//! What `docs/issuers.md` says, held to the issuers.

use std::path::Path;

use crate::harness::command::{output_of, program};

use super::login::Token;

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/issuers.md");
    std::fs::read_to_string(page).unwrap()
}

/// The page's settings for a kind of issuer, for the one that is at `iss`.
pub(super) fn settings(kind: &str, iss: &str) -> String {
    let page = page();
    let mark = format!("<!-- settings: {kind} -->\n```toml\n");
    let (_, block) = page.split_once(&mark).expect("a marked block of toml");
    let (block, _) = block.split_once("```").expect("the block's end");
    let (_, example) = block.split_once("\niss = \"").expect("an issuer");
    let (example, _) = example.split_once('"').unwrap();
    block.replace(example, iss)
}

/// Asserts that the page's table of tokens has this one as it is.
#[track_caller]
pub(super) fn assert_tells(name: &str, token: &Token) {
    let row = row(name, token);
    assert!(
        page().lines().any(|line| line == row),
        "docs/issuers.md needs the line\n{row}\nfor {token:?}"
    );
}

fn row(name: &str, token: &Token) -> String {
    let has = |claim: &str| !token.claims[claim].is_null();
    let yes = |claim: &str| if has(claim) { "yes" } else { "–" }.to_owned();
    let typ = token.header["typ"].as_str();
    let typ = typ.map_or("–".to_owned(), |typ| format!("`{typ}`"));
    let always = ["iss", "iat", "exp"].into_iter().all(has);
    assert!(always && token.header["kid"].is_string(), "{token:?}");
    let client = ["client_id", "azp"].into_iter().find(|name| has(name));
    let client = client.map_or("–".to_owned(), |name| format!("`{name}`"));
    let cells = [
        name.to_owned(),
        typ,
        yes("jti"),
        yes("sub"),
        yes("sid"),
        yes("auth_time"),
        client,
        yes("aud"),
    ];
    format!("| {} |", cells.join(" | "))
}

#[test]
fn every_settings_block_is_good() {
    let page = page();
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).collect();
    assert!(blocks.len() > 2, "only {} blocks were found", blocks.len());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rescind.toml");
    for block in blocks {
        let (block, _) = block.split_once("```").expect("the block's end");
        std::fs::write(&file, block).unwrap();
        let check = ["config", "check", "--ephemeral"];
        let output = output_of(program().args(check).arg(&file));
        assert_eq!(output.code, 0, "{block}\n{output:?}");
    }
}
