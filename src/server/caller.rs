//! Who calls.

use tonic::{
    Request,
    transport::server::{TcpConnectInfo, UdsConnectInfo},
};

/// The caller's identity, as receipts and the audit log show it: the user of a unix socket's
/// other end, or an address without its port, which says nothing of who it was.
pub(super) fn actor<T>(request: &Request<T>) -> String {
    let extensions = request.extensions();
    if let Some(uds) = extensions.get::<UdsConnectInfo>() {
        return match uds.peer_cred {
            Some(peer) => format!("unix:uid={}", peer.uid()),
            None => "unix".to_owned(),
        };
    }
    extensions
        .get::<TcpConnectInfo>()
        .and_then(TcpConnectInfo::remote_addr)
        .map_or_else(
            || "unknown".to_owned(),
            |address| format!("ip:{}", address.ip()),
        )
}
