//! Listeners: TCP and unix sockets.

use std::{
    fmt,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

use crate::{config::Listen, limits};

/// An address really bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// TCP, with the port that was picked.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, PathBuf),
}

/// Binds all addresses, or none.
pub(super) async fn bind_all(listen: &[Listen]) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::with_capacity(listen.len());
    for listen in listen {
        listeners.push(match listen {
            Listen::Tcp(address) => bind_tcp(*address).await?,
            Listen::Unix(path) => bind_unix(path).await?,
        });
    }
    Ok(listeners)
}

async fn bind_tcp(address: SocketAddr) -> anyhow::Result<Listener> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: choose another address or port with --listen")
    })?;
    let bound = listener.local_addr().context("the address really bound")?;
    Ok(Listener::Tcp(listener, bound))
}

async fn bind_unix(path: &Path) -> anyhow::Result<Listener> {
    let shown = path.display();
    // A socket whose process was killed is still there; one that answers is somebody else's.
    if UnixStream::connect(path).await.is_ok() {
        anyhow::bail!(
            "cannot listen on unix:{shown}: another process does; choose another path with --listen"
        );
    }
    let is_socket = std::fs::symlink_metadata(path)
        .is_ok_and(|file| std::os::unix::fs::FileTypeExt::is_socket(&file.file_type()));
    if is_socket {
        std::fs::remove_file(path)
            .with_context(|| format!("cannot remove the stale socket {shown}"))?;
    }
    let listener = UnixListener::bind(path).with_context(|| {
        format!("cannot listen on unix:{shown}: choose another path with --listen")
    })?;
    // Owner and group may connect, nobody else.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the permissions of {shown}"))?;
    Ok(Listener::Unix(listener, path.to_owned()))
}

impl Listener {
    pub(super) fn address(&self) -> Bound {
        match self {
            Self::Tcp(_, address) => Bound::Tcp(*address),
            Self::Unix(_, path) => Bound::Unix(path.clone()),
        }
    }

    /// Serves until `stop`, then lets calls under way finish.
    pub(super) async fn serve(self, routes: Routes, stop: CancellationToken) -> anyhow::Result<()> {
        let router = Server::builder()
            .max_concurrent_streams(limits::STREAMS_PER_CONNECTION_MAX)
            .http2_max_header_list_size(limits::HEADER_BYTES_MAX)
            .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
            .add_routes(routes);
        let stopped = stop.cancelled_owned();
        match self {
            Self::Tcp(listener, _) => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                router
                    .serve_with_incoming_shutdown(incoming, stopped)
                    .await?;
            }
            Self::Unix(listener, path) => {
                let incoming = UnixListenerStream::new(listener);
                let served = router.serve_with_incoming_shutdown(incoming, stopped).await;
                // Left behind, it would look like a node that does not answer.
                drop(std::fs::remove_file(path));
                served?;
            }
        }
        Ok(())
    }
}

impl Listener {
    /// Serves HTTP until `stop`. What operators ask is answered at once: nothing is waited for.
    pub(super) async fn serve_http(
        self,
        router: axum::Router,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let address = self.address();
        tracing::info!(%address, "metrics");
        let serving = async {
            match self {
                Self::Tcp(listener, _) => axum::serve(listener, router).await,
                Self::Unix(listener, _) => axum::serve(listener, router).await,
            }
        };
        tokio::select! {
            served = serving => served?,
            () = stop.cancelled() => {}
        }
        Ok(())
    }
}

/// Prints the addresses really bound, whatever is logged.
pub(super) fn print_addresses(addresses: &[Bound]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for address in addresses {
        writeln!(out, "listening on {address}").context("cannot print the addresses")?;
    }
    out.flush().context("cannot print the addresses")
}

/// Writes the addresses really bound, for scripts and tests: all or nothing is there to read.
pub(super) fn write_addresses(
    path: &Path,
    addresses: &[Bound],
    ops: Option<&Bound>,
) -> anyhow::Result<()> {
    let listen: Vec<String> = addresses.iter().map(Bound::to_string).collect();
    let mut text = serde_json::json!({ "listen": listen });
    if let (Some(ops), Some(fields)) = (ops, text.as_object_mut()) {
        fields.insert("ops_listen".to_owned(), ops.to_string().into());
    }
    let text = text.to_string();
    crate::atomic_file::write(path, text.as_bytes()).with_context(|| {
        format!(
            "cannot write the address file {}; give another path with --address-file",
            path.display()
        )
    })
}
