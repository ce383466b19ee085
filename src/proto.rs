//! The generated messages and services of `proto/`, and one message by hand.

use prost::{
    DecodeError,
    bytes::{Buf, BufMut, Bytes},
    encoding::{self, DecodeContext, WireType},
};

/// The public API, `rescind.v1`.
pub mod v1 {
    #![expect(
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::clone_on_ref_ptr,
        clippy::large_enum_variant,
        clippy::pedantic,
        unused_qualifications,
        reason = "generated code"
    )]
    tonic::include_proto!("rescind.v1");
}

/// How records stand in the journal, `rescind.journal.v1`.
pub(crate) mod journal {
    #![expect(clippy::pedantic, unreachable_pub, reason = "generated code")]
    tonic::include_proto!("rescind.journal.v1");
}

/// The descriptors of all of the above, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rescind_descriptor.bin"));

/// `rescind.v1.Records`: targets whose state is new.
///
/// By hand, because a node with a thousand watchers sends each of them the same records: they are
/// encoded once, and a message holds the bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// As received, or as made to be encoded.
    pub revocations: Vec<v1::Revocation>,
    /// To be sent after those: encoded already.
    pub encoded: Vec<Bytes>,
}

const REVOCATIONS: u32 = 1;

impl prost::Message for Records {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        encoding::message::encode_repeated(REVOCATIONS, &self.revocations, buf);
        // On the wire a message in a message is its length and its bytes.
        encoding::bytes::encode_repeated(REVOCATIONS, &self.encoded, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        if tag == REVOCATIONS {
            encoding::message::merge_repeated(wire_type, &mut self.revocations, buf, context)
        } else {
            encoding::skip_field(wire_type, tag, buf, context)
        }
    }

    fn encoded_len(&self) -> usize {
        encoding::message::encoded_len_repeated(REVOCATIONS, &self.revocations)
            + encoding::bytes::encoded_len_repeated(REVOCATIONS, &self.encoded)
    }

    fn clear(&mut self) {
        self.revocations.clear();
        self.encoded.clear();
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn records_encoded_before_are_read_like_any_others() {
        let revocation = |name: &str| v1::Revocation {
            lifted_by: name.to_owned(),
            ..v1::Revocation::default()
        };
        let sent = Records {
            revocations: vec![revocation("a")],
            encoded: vec![
                revocation("b").encode_to_vec().into(),
                revocation("").encode_to_vec().into(),
            ],
        };
        let bytes = sent.encode_to_vec();
        assert_eq!(bytes.len(), sent.encoded_len());
        let read = Records::decode(bytes.as_slice()).unwrap();
        assert_eq!(read.revocations, ["a", "b", ""].map(revocation));
    }
}
