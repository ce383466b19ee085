//! Where upstreams are.

use std::{fmt, path::PathBuf, str::FromStr};

/// An upstream, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `HOST:PORT`: one node.
    Host {
        /// A name or an IP address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// `dns:NAME:PORT`: every address that the name has, looked up again and again.
    Dns {
        /// The name.
        name: String,
        /// The port of all of them.
        port: u16,
    },
    /// `unix:PATH`: one node on this machine.
    Unix(PathBuf),
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address of a node: give HOST:PORT, dns:NAME:PORT or unix:PATH")]
pub struct AddressError {
    text: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError {
            text: text.to_owned(),
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return (!path.is_empty())
                .then(|| Self::Unix(PathBuf::from(path)))
                .ok_or_else(wrong);
        }
        let (is_dns, authority) = match text.strip_prefix("dns:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let is_ipv6 = bare.is_some();
        if host.is_empty()
            || host.contains(['/', ' '])
            || (host.contains(':') && !is_ipv6)
            || port == 0
        {
            return Err(wrong());
        }
        let host = host.to_owned();
        Ok(if is_dns {
            Self::Dns { name: host, port }
        } else {
            Self::Host { host, port }
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Dns { name, port } => write!(f, "dns:{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_was_given() {
        for text in [
            "10.0.0.1:50551",
            "hub-0.hub:50551",
            "[::1]:50551",
            "dns:rescind.default.svc.cluster.local:50551",
            "unix:/run/rescind.sock",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_told_what_would_be() {
        for text in [
            "",
            "host",
            "host:",
            ":1",
            "host:0",
            "host:65536",
            "http://host:1",
            "::1:50551",
            "dns:name",
            "dns::1",
            "unix:",
            "a b:1",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("dns:NAME:PORT"), "{text}: {error}");
        }
    }
}
