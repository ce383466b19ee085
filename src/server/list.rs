//! `ListRevocations`.

use std::ops::ControlFlow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tonic::Status;

use crate::{
    ledger::{Cursor, Ledger, Resume},
    limits,
    model::Record,
    proto::v1,
};

use super::{
    filter::Filter,
    outward,
    status::{self, BadField},
};

/// One page, in the order of the log.
///
/// A page token is a cursor: what is revoked while somebody pages comes at the end, and what is
/// superseded moves there, so nothing is skipped.
pub(super) async fn list(
    ledger: &Ledger,
    request: v1::ListRevocationsRequest,
) -> Result<v1::ListRevocationsResponse, Status> {
    let filter = Filter::of_list(&request)?;
    let filters = filter.digest();
    let size = size(request.page_size)?;
    let after = start(ledger, &request.page_token, filters)?;
    let page = Page {
        filter,
        size,
        bytes: 0,
        scanned: 0,
        shown: Vec::new(),
    };
    let (page, next) = ledger
        .scan(after, page, Page::take)
        .await
        .map_err(|error| status::of_journal(&error))?;
    Ok(v1::ListRevocationsResponse {
        revocations: page.shown,
        next_page_token: next.map_or_else(String::new, |(seq, newest)| {
            URL_SAFE_NO_PAD.encode(ledger.cursor(seq, newest, filters).encode())
        }),
    })
}

/// A page that is being filled.
struct Page {
    filter: Filter,
    size: usize,
    bytes: usize,
    scanned: usize,
    shown: Vec<v1::Revocation>,
}

impl Page {
    fn take(&mut self, record: &Record) -> ControlFlow<()> {
        if self.shown.len() >= self.size
            || self.bytes >= limits::PAGE_BYTES_MAX
            || self.scanned >= limits::PAGE_SCAN_MAX
        {
            return ControlFlow::Break(());
        }
        self.scanned += 1;
        if self.filter.shows(record) {
            let shown = outward::revocation(record);
            self.bytes += prost::Message::encoded_len(&shown);
            self.shown.push(shown);
        }
        ControlFlow::Continue(())
    }
}

fn size(asked: u32) -> Result<usize, BadField> {
    match usize::try_from(asked) {
        Ok(0) => Ok(limits::PAGE_SIZE_DEFAULT),
        Ok(size) if size <= limits::PAGE_SIZE_MAX => Ok(size),
        _ => {
            let problem = format!(
                "is {asked}, and at most {} are allowed",
                limits::PAGE_SIZE_MAX
            );
            Err(BadField::new("page_size", problem))
        }
    }
}

fn start(ledger: &Ledger, page_token: &str, filters: u64) -> Result<u64, BadField> {
    if page_token.is_empty() {
        return Ok(0);
    }
    let cursor = URL_SAFE_NO_PAD
        .decode(page_token)
        .ok()
        .and_then(|bytes| Cursor::decode(&bytes))
        .ok_or_else(|| {
            BadField::new(
                "page_token",
                "never was a page token: send next_page_token as it came, or leave it out",
            )
        })?;
    if cursor.filters != filters {
        return Err(BadField::new(
            "page_token",
            "is of a list with other filters: begin anew to change them",
        ));
    }
    match ledger.resume(cursor) {
        Resume::After(seq) => Ok(seq),
        Resume::Reset => Err(BadField::new(
            "page_token",
            "is of another node, or of a disk that was lost or restored since: begin anew",
        )),
    }
}
