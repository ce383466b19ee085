//! Where the API is served.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
};

use super::{ConfigError, value::Setting};

/// The port when none is configured.
const PORT_DEFAULT: u16 = 50_551;

/// The longest path of a unix socket: `sun_path` has 108 bytes on Linux, with a zero at the end.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// TCP. Port 0 picks a free one.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp(SocketAddr::new(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            PORT_DEFAULT,
        ))
    }
}

impl Listen {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    pub(super) fn read(setting: &Setting<'_>) -> Result<Self, ConfigError> {
        const REMEDY: &str =
            "give HOST:PORT such as 127.0.0.1:50551 or [::1]:50551, or unix:/path/to/socket";
        let text = setting.text("HOST:PORT or unix:PATH")?;
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() || path.len() > SOCKET_PATH_BYTES_MAX {
                return Err(setting.wrong(
                    format!("the socket's path has {} bytes", path.len()),
                    format!("give a path of 1 to {SOCKET_PATH_BYTES_MAX} bytes"),
                ));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let has_port = text
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !has_port {
            return Err(setting.wrong(format!("{text:?} is no address with a port"), REMEDY));
        }
        let addresses: Vec<SocketAddr> = text
            .to_socket_addrs()
            .map_err(|error| setting.wrong(format!("{text:?} does not resolve: {error}"), REMEDY))?
            .collect();
        // A name with addresses of both kinds stays with IPv4, which every client tries.
        addresses
            .iter()
            .find(|address| address.is_ipv4())
            .or(addresses.first())
            .map(|address| Self::Tcp(*address))
            .ok_or_else(|| setting.wrong(format!("{text:?} has no address"), REMEDY))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
