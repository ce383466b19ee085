//! The network, as a simulation can replace it.

use std::{
    fmt::Debug,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
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

/// Tells by the bytes that come whether there is life at the other end: over a slow link a single
/// message may take longer than silence may.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Until nothing has come for too long. Counted in looks, not by a clock: of a process that was
    /// stopped itself, what came meanwhile waits to be read.
    pub(super) async fn lost(&self) {
        let mut before = self.0.load(Ordering::Relaxed);
        let mut quiet = 0;
        while quiet < limits::PEER_SILENCE_LOOKS {
            let pause = limits::PEER_SILENCE_MAX / limits::PEER_SILENCE_LOOKS;
            tokio::time::sleep(pause).await;
            let now = self.0.load(Ordering::Relaxed);
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
        }
    }
}

/// A connection whose bytes are counted as they come.
struct Counted {
    io: Box<dyn Io>,
    pulse: Pulse,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, into);
        let count = into.filled().len().saturating_sub(before) as u64;
        self.pulse.0.fetch_add(count, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// A channel to one place: it does not connect anew by itself, since who is there may have changed.
pub(super) async fn channel(net: &Arc<dyn Net>, place: &Place) -> Result<(Channel, Pulse), String> {
    let connection = net.connect(place);
    let connection = tokio::time::timeout(limits::PEER_CONNECT_TIMEOUT, connection)
        .await
        .map_err(|_| "cannot connect: no answer in time".to_owned())?
        .map_err(|error| format!("cannot connect: {error}"))?;
    let pulse = Pulse::default();
    let mut connection = Some(TokioIo::new(Counted {
        io: connection,
        pulse: pulse.clone(),
    }));
    let connector = tower::service_fn(move |_| {
        let connection = connection.take();
        std::future::ready(connection.ok_or_else(|| io::Error::other("the connection has ended")))
    });
    // So much of what an upstream sends may wait here: enough for a node that catches up.
    let endpoint = Endpoint::from_static("http://node.rescind.invalid")
        .initial_stream_window_size(limits::PEER_WINDOW_BYTES)
        .initial_connection_window_size(limits::PEER_WINDOW_BYTES);
    let channel = endpoint.connect_with_connector(connector).await;
    let channel = channel.map_err(|error| format!("cannot speak HTTP/2: {error}"))?;
    Ok((channel, pulse))
}
