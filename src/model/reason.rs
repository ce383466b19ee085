//! Why a revocation was made.

/// The causes people have. The numbers are those of the API and of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Not said.
    #[default]
    Unspecified = 0,
    /// The user logged out.
    Logout = 1,
    /// The user changed the password.
    PasswordChanged = 2,
    /// A password, device or token fell into wrong hands.
    CredentialCompromised = 3,
    /// The account was disabled.
    AccountDisabled = 4,
    /// An administrator's decision.
    Admin = 5,
    /// A signing key fell into wrong hands.
    KeyCompromised = 6,
    /// A rule of the organisation.
    Policy = 7,
    /// A newer token took its place.
    TokenRotated = 8,
    /// The account was deleted.
    AccountDeleted = 9,
    /// What the user may do has changed.
    PrivilegesChanged = 10,
    /// A device was lost or is out of order.
    DeviceLost = 11,
    /// The user withdrew consent from a client.
    ConsentWithdrawn = 12,
    /// Something looked wrong.
    SuspiciousActivity = 13,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Unspecified,
        Self::Logout,
        Self::PasswordChanged,
        Self::CredentialCompromised,
        Self::AccountDisabled,
        Self::Admin,
        Self::KeyCompromised,
        Self::Policy,
        Self::TokenRotated,
        Self::AccountDeleted,
        Self::PrivilegesChanged,
        Self::DeviceLost,
        Self::ConsentWithdrawn,
        Self::SuspiciousActivity,
    ];

    /// The reason with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| *reason as u32 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for (number, reason) in (0..).zip(Reason::ALL) {
            assert_eq!(Reason::from_number(number), Some(reason));
        }
        assert_eq!(Reason::from_number(14), None);
    }
}
