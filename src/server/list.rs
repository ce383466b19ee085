//! `ListRevocations`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tonic::Status;

use crate::{
    ledger::{Cursor, Ledger, Resume},
    limits,
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
    let size = match usize::try_from(request.page_size) {
        Ok(0) => limits::PAGE_SIZE_DEFAULT,
        Ok(size) if size <= limits::PAGE_SIZE_MAX => size,
        _ => {
            let problem = format!(
                "is {}, and at most {} are allowed",
                request.page_size,
                limits::PAGE_SIZE_MAX
            );
            return Err(BadField::new("page_size", problem).into());
        }
    };
    let mut seq = start(ledger, &request.page_token, filter.digest())?;
    let mut page = Vec::new();
    let mut scanned = 0;
    let next = loop {
        let chunk = ledger
            .read_after(seq, limits::PAGE_SIZE_MAX)
            .await
            .map_err(|error| status::of_journal(&error))?;
        let is_last = chunk.records.len() < limits::PAGE_SIZE_MAX;
        for (at, record) in &chunk.records {
            if page.len() == size {
                break;
            }
            seq = *at;
            scanned += 1;
            if filter.shows(record) {
                page.push(outward::revocation(record));
            }
        }
        if page.len() == size || scanned >= limits::PAGE_SCAN_MAX {
            break Some(seq).filter(|seq| *seq < ledger.condition().head);
        }
        if is_last {
            break None;
        }
    };
    Ok(v1::ListRevocationsResponse {
        revocations: page,
        next_page_token: next.map_or_else(String::new, |seq| {
            URL_SAFE_NO_PAD.encode(ledger.cursor(seq, filter.digest()).encode())
        }),
    })
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
