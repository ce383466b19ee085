//! RSA keys that a chip made of too little randomness (CVE-2017-15361, "ROCA").
//!
//! Their primes are powers of 65,537 modulo the product of many small primes, so the modulus is one
//! modulo each of these. That is the fingerprint of Nemec and others (CCS 2017, section 2.2); of other
//! keys one in 2^27 has it.

/// The primes that tell the most: modulo some others every number is a power of 65,537.
const PRIMES: [u32; 17] = [
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
];

/// Whether a modulus has the fingerprint.
pub(super) fn is_weak(modulus: &[u8]) -> bool {
    PRIMES
        .iter()
        .all(|prime| is_power(remainder(modulus, *prime), *prime))
}

fn remainder(number: &[u8], prime: u32) -> u32 {
    number
        .iter()
        .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

/// Whether `number` is a power of 65,537 modulo `prime`.
fn is_power(number: u32, prime: u32) -> bool {
    let step = 65_537 % prime;
    let mut power = 1;
    // The powers come round after less than `prime` of them.
    for _ in 1..prime {
        if power == number {
            return true;
        }
        power = power * step % prime;
    }
    false
}
