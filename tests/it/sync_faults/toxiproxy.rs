//! Links that go bad when told to: Shopify's toxiproxy, built once from the Go module proxy.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use crate::harness::{PATIENCE, eventually};

/// Which toxiproxy.
const MODULE: &str = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0";

/// Where its server is; built when it is not there yet.
fn server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(|| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/toxiproxy");
        fs::create_dir_all(&directory).unwrap();
        // Another process of tests may be building it too.
        let lock = fs::File::create(directory.join(".lock")).unwrap();
        lock.lock().unwrap();
        let server = directory.join("server");
        if !server.exists() {
            let built = Command::new("go")
                .args(["install", MODULE])
                .env("GOBIN", &directory)
                .current_dir(&directory)
                .output()
                .expect("go; install it: Go 1.26 or newer, https://go.dev/dl");
            let said = String::from_utf8_lossy(&built.stderr);
            assert!(built.status.success(), "go install {MODULE}:\n{said}");
        }
        server
    })
}

/// A running toxiproxy; gone when dropped.
pub(super) struct Toxiproxy {
    child: Child,
    api: SocketAddr,
}

/// One link through it.
pub(super) struct Link<'a> {
    proxy: &'a Toxiproxy,
    name: &'static str,
    /// Where it is connected to.
    pub(super) address: String,
}

/// Which way a toxic works.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// What the follower sends.
    Up,
    /// What it is sent.
    Down,
}

impl Toxiproxy {
    pub(super) async fn start() -> Self {
        // Free a moment ago: whoever takes it in between is not this program, and the start fails.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = free.local_addr().unwrap();
        drop(free);
        let child = Command::new(server())
            .args(["-host", "127.0.0.1", "-port", &api.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let what = "toxiproxy's own port";
        eventually(PATIENCE, what, || TcpStream::connect(api).ok()).await;
        Self { child, api }
    }

    /// A link to nowhere yet.
    pub(super) fn link(&self, name: &'static str) -> Link<'_> {
        let body = format!(
            r#"{{"name":"{name}","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","enabled":true}}"#
        );
        let made = self.call("POST", "/proxies", &body);
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        Link {
            proxy: self,
            name,
            address: made["listen"].as_str().unwrap().to_owned(),
        }
    }

    fn call(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.api).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: toxiproxy\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let is_good = head
            .split(' ')
            .nth(1)
            .is_some_and(|code| code.starts_with('2'));
        assert!(is_good, "{method} {path}: {answer}");
        body.to_owned()
    }
}

impl Drop for Toxiproxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Link<'_> {
    /// Leads to this address from now on.
    pub(super) fn to(&self, upstream: &str) {
        let path = format!("/proxies/{}", self.name);
        // Without its port it would be given another.
        let body = format!(
            r#"{{"listen":"{}","upstream":"{upstream}","enabled":true}}"#,
            self.address
        );
        self.proxy.call("POST", &path, &body);
    }

    /// Adds a toxic that works on connections that there are, too.
    pub(super) fn add(&self, toxic: &str, way: Way, attributes: &str) {
        let stream = match way {
            Way::Up => "upstream",
            Way::Down => "downstream",
        };
        let body = format!(
            r#"{{"name":"{toxic}-{stream}","type":"{toxic}","stream":"{stream}","attributes":{{{attributes}}}}}"#
        );
        let path = format!("/proxies/{}/toxics", self.name);
        self.proxy.call("POST", &path, &body);
    }

    pub(super) fn remove(&self, toxic: &str, way: Way) {
        let stream = match way {
            Way::Up => "upstream",
            Way::Down => "downstream",
        };
        let path = format!("/proxies/{}/toxics/{toxic}-{stream}", self.name);
        self.proxy.call("DELETE", &path, "");
    }

    /// Everything that comes, either way, is lost, and nobody is told.
    pub(super) fn swallow(&self) {
        for way in [Way::Up, Way::Down] {
            self.add("timeout", way, r#""timeout":0"#);
        }
    }

    pub(super) fn heal(&self) {
        for way in [Way::Up, Way::Down] {
            self.remove("timeout", way);
        }
    }

    /// Delays everything by this.
    pub(super) fn delay(&self, way: Way, delay: Duration) {
        self.add(
            "latency",
            way,
            &format!(r#""latency":{}"#, delay.as_millis()),
        );
    }
}
