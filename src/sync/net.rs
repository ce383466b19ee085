//! The network, as a simulation can replace it.

use std::{
    fmt::Debug,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tonic::transport::{Channel, Endpoint};

use crate::limits;

/// A connection.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name or an address, with its port.
    Host(String, u16),
    /// An address.
    Tcp(SocketAddr),
    /// A socket.
    Unix(PathBuf),
}

/// How to get at other nodes.
pub trait Net: Debug + Send + Sync {
    /// The addresses that a name has now.
    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

    /// A connection.
    fn connect(&self, place: &Place) -> BoxFuture<'static, io::Result<Box<dyn Io>>>;
}

/// The machine's network.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNet;

impl Net for SystemNet {
    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, port)).await?;
            Ok(found.collect())
        })
    }

    fn connect(&self, place: &Place) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        match place.clone() {
            Place::Host(host, port) => Box::pin(async move {
                let stream = TcpStream::connect((host, port)).await?;
                tcp(stream)
            }),
            Place::Tcp(address) => Box::pin(async move { tcp(TcpStream::connect(address).await?) }),
            Place::Unix(path) => Box::pin(async move { unix(&path).await }),
        }
    }
}

fn tcp(stream: TcpStream) -> io::Result<Box<dyn Io>> {
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

async fn unix(path: &Path) -> io::Result<Box<dyn Io>> {
    Ok(Box::new(UnixStream::connect(path).await?))
}

/// A channel to one place: it does not connect anew by itself, since who is there may have changed.
pub(super) async fn channel(net: &Arc<dyn Net>, place: &Place) -> Result<Channel, String> {
    let connection = net.connect(place);
    let connection = tokio::time::timeout(limits::PEER_CONNECT_TIMEOUT, connection)
        .await
        .map_err(|_| "cannot connect: no answer in time".to_owned())?
        .map_err(|error| format!("cannot connect: {error}"))?;
    let mut connection = Some(TokioIo::new(connection));
    let connector = tower::service_fn(move |_| {
        let connection = connection.take();
        std::future::ready(connection.ok_or_else(|| io::Error::other("the connection has ended")))
    });
    // So much of what an upstream sends may wait here: enough for a node that catches up.
    let endpoint = Endpoint::from_static("http://node.rescind.invalid")
        .initial_stream_window_size(limits::PEER_WINDOW_BYTES)
        .initial_connection_window_size(limits::PEER_WINDOW_BYTES);
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| format!("cannot speak HTTP/2: {error}"))
}
