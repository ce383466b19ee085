//! The simulated clocks and network of a node.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, future::BoxFuture, stream};
use rescind::{
    clock::Clock,
    model::UnixNanos,
    sync::{Io, Net, Place},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::{Connected, TcpConnectInfo};
use turmoil::net::{TcpListener, TcpStream};

/// The port of every node.
pub(crate) const PORT: u16 = 50551;

/// When every simulation begins.
const BEGIN: UnixNanos = UnixNanos::from_secs(1_800_000_000);

/// True time since the beginning, in nanoseconds, set before every step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Now(Arc<AtomicU64>);

impl Now {
    pub(crate) fn set(&self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).expect("a short simulation");
        self.0.store(nanos, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    /// True wall time.
    pub(crate) fn wall(&self) -> UnixNanos {
        BEGIN.plus(self.get())
    }
}

/// A node's clocks: the steady one is right, the wall clock is off by what somebody set.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimClock {
    now: Now,
    off_ms: Arc<AtomicI64>,
}

impl SimClock {
    pub(crate) fn new(now: &Now) -> Self {
        Self {
            now: now.clone(),
            off_ms: Arc::default(),
        }
    }

    /// Sets how far the wall clock is ahead.
    pub(crate) fn set_off(&self, ms: i64) {
        self.off_ms.store(ms, Ordering::SeqCst);
    }

    pub(crate) fn off(&self) -> i64 {
        self.off_ms.load(Ordering::SeqCst)
    }
}

impl Clock for SimClock {
    fn wall(&self) -> UnixNanos {
        let off = self.off();
        let by = Duration::from_millis(off.unsigned_abs());
        if off < 0 {
            self.now.wall().minus(by)
        } else {
            self.now.wall().plus(by)
        }
    }

    fn steady(&self) -> Duration {
        // No clock of a real machine starts at nought.
        Duration::from_secs(1_000) + self.now.get()
    }
}

/// What a resolver answers: names and the hosts that they have, or a failure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dns(Arc<Mutex<BTreeMap<String, Option<Vec<String>>>>>);

impl Dns {
    /// From now on a name has these hosts; `None`: the resolver fails.
    pub(crate) fn set(&self, name: &str, hosts: Option<&[&str]>) {
        let hosts = hosts.map(|hosts| hosts.iter().map(|host| (*host).to_owned()).collect());
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned(), hosts);
    }

    fn get(&self, name: &str) -> io::Result<Vec<String>> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = names.get(name).cloned().flatten();
        answer.ok_or_else(|| io::Error::other("the resolver failed"))
    }
}

/// The simulated network, as `sync` uses it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimNet(pub(crate) Dns);

impl Net for SimNet {
    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let found = self.0.get(name).map(|hosts| {
            let hosts = hosts.into_iter();
            hosts
                .map(|host| SocketAddr::new(turmoil::lookup(host), port))
                .collect()
        });
        Box::pin(std::future::ready(found))
    }

    fn connect(&self, place: &Place) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        match place.clone() {
            Place::Host(host, port) => Box::pin(async move {
                let stream = TcpStream::connect((host, port)).await?;
                Ok(Box::new(stream) as Box<dyn Io>)
            }),
            Place::Tcp(address) => Box::pin(async move {
                let stream = TcpStream::connect(address).await?;
                Ok(Box::new(stream) as Box<dyn Io>)
            }),
            Place::Unix(_) => Box::pin(std::future::ready(Err(io::Error::other(
                "there are no sockets here",
            )))),
        }
    }
}

/// A connection that a node accepted.
pub(crate) struct Accepted(TcpStream);

impl Connected for Accepted {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo {
            local_addr: self.0.local_addr().ok(),
            remote_addr: self.0.peer_addr().ok(),
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Everybody who connects to this host.
pub(crate) async fn incoming() -> io::Result<impl Stream<Item = io::Result<Accepted>>> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    Ok(stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await;
        Some((accepted.map(|(stream, _)| Accepted(stream)), listener))
    }))
}
