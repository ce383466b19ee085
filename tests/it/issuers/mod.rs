//! Real issuers, real logins: what their tokens carry, and what to revoke them by. The programs are in
//! `tests/issuers`; `docs/issuers.md` tells what is shown here, and its settings and its table are held
//! to the tokens.

mod browser;
mod docs;
mod keycloak;
mod login;
mod node;
mod oidc_provider;
mod server;
mod stories;
