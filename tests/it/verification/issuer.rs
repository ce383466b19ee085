//! An issuer that publishes its keys.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
};

/// Answers every request with the same text until another is published.
pub(super) struct Issuer {
    pub(super) url: String,
    published: Mutex<(u16, String)>,
    requests: watch::Sender<usize>,
    asked: Mutex<String>,
}

impl Issuer {
    pub(super) async fn start(jwks: String) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Arc::new(Self {
            url: format!("http://{}/jwks", listener.local_addr().unwrap()),
            published: Mutex::new((200, jwks)),
            requests: watch::Sender::new(0),
            asked: Mutex::default(),
        });
        let own = Arc::clone(&issuer);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                *own.asked.lock().unwrap() = String::from_utf8(request).unwrap();
                let (status, body) = own.published.lock().unwrap().clone();
                let head = format!(
                    "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream
                    .write_all(&[head, body].concat().into_bytes())
                    .await
                    .unwrap();
                own.requests.send_modify(|requests| *requests += 1);
            }
        });
        issuer
    }

    pub(super) fn publish(&self, status: u16, jwks: String) {
        *self.published.lock().unwrap() = (status, jwks);
    }

    /// The head of the last request.
    pub(super) fn asked(&self) -> String {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn requests(&self) -> usize {
        *self.requests.borrow()
    }
}
