//! A server that answers as it is told.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::{Semaphore, watch},
};

use super::jwks;
use crate::token::sign::SigningKey;

/// How the server answers; paths that are not `/jwks` get the redirect that they name.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Body(u16, String),
    /// What is in the answer is settled when the request comes, and it goes out when this lets it.
    Held(Arc<Semaphore>, String),
    Never,
    Cut,
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: std::net::SocketAddr,
    answer: Mutex<Answer>,
    pub(super) requests: watch::Sender<usize>,
    headers: Mutex<String>,
    /// What is at `/.well-known/…`.
    discovery: Mutex<String>,
}

impl Server {
    pub(super) async fn start(answer: Answer) -> Arc<Self> {
        Self::start_with(answer, None).await
    }

    pub(super) async fn start_with(
        answer: Answer,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            answer: Mutex::new(answer),
            requests: watch::Sender::new(0),
            headers: Mutex::default(),
            discovery: Mutex::default(),
        });
        let own = Arc::clone(&server);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (own, tls) = (Arc::clone(&own), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => own.talk(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                own.talk(stream).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(super) fn publish(&self, keys: &[(&SigningKey, &str)]) {
        self.answer(Answer::Body(200, jwks(keys)));
    }

    pub(super) fn discover(&self, document: String) {
        *self.discovery.lock().unwrap() = document;
    }

    pub(super) fn requests(&self) -> usize {
        *self.requests.borrow()
    }

    /// One request for each connection.
    async fn talk(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                return;
            }
            request.push(byte[0]);
        }
        let request = String::from_utf8(request).unwrap();
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let answer = self.answer.lock().unwrap().clone();
        self.requests.send_modify(|requests| *requests += 1);
        let (status, headers, body) = match answer {
            _ if path.starts_with("/to?") => {
                (302, format!("location: {}\r\n", &path[4..]), String::new())
            }
            _ if path.starts_with("/.well-known/") => {
                (200, String::new(), self.discovery.lock().unwrap().clone())
            }
            Answer::Body(status, body) => (status, self.headers.lock().unwrap().clone(), body),
            Answer::Held(held, body) => {
                held.acquire().await.unwrap().forget();
                (200, String::new(), body)
            }
            Answer::Never => std::future::pending().await,
            Answer::Cut => (200, "content-length: 900\r\n".to_owned(), "{".to_owned()),
        };
        let len = if headers.contains("content-length") {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let head = format!("HTTP/1.1 {status} Said\r\n{headers}{len}connection: close\r\n\r\n");
        // Whether anybody still listens is theirs to know.
        let _sent = stream.write_all(&[head, body].concat().into_bytes()).await;
        let _ended = stream.shutdown().await;
    }
}

/// A server with a certificate of the test's own authority.
pub(super) async fn with_tls(answer: Answer) -> Arc<Server> {
    use tokio_rustls::rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    };
    let chain = CertificateDer::from_pem_slice(include_bytes!("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("server.key")).unwrap();
    let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    Server::start_with(answer, Some(tls)).await
}
