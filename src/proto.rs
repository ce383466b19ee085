//! The generated messages and services of `proto/`.

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
