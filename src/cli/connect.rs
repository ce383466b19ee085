//! A connection to a server, and calls with a deadline.

use std::{error::Error, fmt, future::Future, path::PathBuf, str::FromStr, time::Duration};

use tonic::{
    Response, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    config::Environment, limits, proto::v1::revocation_service_client::RevocationServiceClient,
};

use super::failure::Failure;

/// Where a server listens when nothing else is said; `serve` has the same default.
const ADDRESS_DEFAULT: &str = "127.0.0.1:50551";

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// `HOST:PORT`.
    Tcp(String),
    /// A unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WANTED: &str = "give HOST:PORT, http://HOST:PORT or unix:PATH";
        if let Some(path) = text.strip_prefix("unix:") {
            // gRPC writes unix:///path with an empty authority.
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(format!("a path is missing after \"unix:\"; {WANTED}"));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if text.starts_with("https://") {
            return Err("https is not supported yet; give http:// or unix:".to_owned());
        }
        let authority = text
            .strip_prefix("http://")
            .unwrap_or(text)
            .trim_end_matches('/');
        let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
        });
        if !has_port {
            return Err(format!("{text:?} is no address with a port; {WANTED}"));
        }
        Ok(Self::Tcp(authority.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => f.write_str(authority),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// The flags of every command that talks to a server.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectArgs {
    /// The server: HOST:PORT, http://HOST:PORT or unix:PATH [env: RESCIND_ADDRESS]
    /// [default: 127.0.0.1:50551]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<Address>,

    /// How long to wait for a connection and for each answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

impl ConnectArgs {
    /// The server to talk to: the flag's, else the environment's, else the one on this machine.
    pub(super) fn server(&self, environment: &Environment) -> Result<Server, Failure> {
        let address = match (&self.address, environment.get("RESCIND_ADDRESS")) {
            (Some(address), _) => address.clone(),
            (None, Some(text)) => text
                .to_str()
                .ok_or_else(|| "it is not UTF-8".to_owned())
                .and_then(str::parse)
                .map_err(|error| Failure::Usage(format!("RESCIND_ADDRESS: {error}")))?,
            (None, None) => ADDRESS_DEFAULT.parse().map_err(Failure::Usage)?,
        };
        Ok(Server {
            address,
            timeout: self.timeout,
        })
    }

    /// A client that is connected.
    pub(super) async fn client(&self, environment: &Environment) -> Result<Client, Failure> {
        self.server(environment)?.client().await
    }
}

/// A server to talk to.
#[derive(Clone, Debug)]
pub(super) struct Server {
    address: Address,
    timeout: Duration,
}

/// A client of one connection.
#[derive(Debug)]
pub(super) struct Client {
    /// Who is at the other end.
    pub(super) server: Server,
    /// The generated client.
    pub(super) rpc: RevocationServiceClient<Channel>,
}

impl Server {
    /// It may take so much longer to answer.
    pub(super) fn be_patient(&mut self, longer: Duration) {
        self.timeout += longer;
    }

    /// Connects.
    pub(super) async fn channel(&self) -> Result<Channel, Failure> {
        let uri = match &self.address {
            Address::Tcp(authority) => format!("http://{authority}"),
            Address::Unix(path) => format!("unix:{}", path.display()),
        };
        let endpoint = Endpoint::from_shared(uri)
            .map_err(|error| self.unreachable(&error))?
            .user_agent(concat!("rescind/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| self.unreachable(&error))?
            .connect_timeout(self.timeout)
            // A watch may be silent for long, and its connection may have died meanwhile.
            .http2_keep_alive_interval(limits::KEEPALIVE_INTERVAL)
            .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT);
        self.within(endpoint.connect())
            .await?
            .map_err(|error| self.unreachable(&error))
    }

    /// Connects, to the API.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        let rpc = RevocationServiceClient::new(self.channel().await?)
            .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(limits::MESSAGE_BYTES_MAX);
        Ok(Client {
            server: self.clone(),
            rpc,
        })
    }

    /// Awaits an answer, but not for ever. (The deadline is kept on this side, since tonic turns
    /// its own into a code that says something else.)
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        self.within(call)
            .await?
            .map(Response::into_inner)
            .map_err(|status| self.refused(status))
    }

    /// The failure that this status stands for.
    pub(super) fn refused(&self, status: Status) -> Failure {
        Failure::Refused {
            address: self.address.clone(),
            status: Box::new(status),
        }
    }

    async fn within<T>(&self, call: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::time::timeout(self.timeout, call)
            .await
            .map_err(|_elapsed| Failure::TimedOut {
                address: self.address.clone(),
                timeout: self.timeout,
            })
    }

    fn unreachable(&self, error: &tonic::transport::Error) -> Failure {
        // tonic's own line is only "transport error"; what happened stands below it.
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            next = cause.source();
        }
        if causes.is_empty() {
            causes.push(error.to_string());
        }
        Failure::Unreachable {
            address: self.address.clone(),
            causes: causes.join(": "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_spelling() {
        for (text, shown) in [
            ("127.0.0.1:50551", "127.0.0.1:50551"),
            ("http://rescind.svc:80/", "rescind.svc:80"),
            ("[::1]:1", "[::1]:1"),
            ("unix:/run/r.sock", "unix:/run/r.sock"),
            ("unix:///run/r.sock", "unix:/run/r.sock"),
            ("unix:relative", "unix:relative"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "localhost",
            ":1",
            "host:x",
            "unix:",
            "https://a:1",
            "a/b:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_a_failure_that_names_it() {
        let args = ConnectArgs {
            address: Some("unix:/no/such/socket".parse().unwrap()),
            timeout: Duration::from_secs(5),
        };
        let failure = args.client(&Environment::default()).await.unwrap_err();
        let Failure::Unreachable { address, causes } = failure else {
            panic!("{failure:?}");
        };
        assert_eq!(address.to_string(), "unix:/no/such/socket");
        assert!(causes.contains("No such file"), "{causes}");
    }
}
