//! The keys behind a `kid`: a revocation of one name of a key counts for all of them.

use crate::{
    ledger::{Named, Receipt, TokenEnd},
    model::{Target, What},
};

use super::check::Judge;

/// The thumbprints of the keys that are known under the names of some targets, as targets of their own.
pub(super) fn of<'a>(judge: &Judge, targets: impl Iterator<Item = &'a Target>) -> Vec<Target> {
    let Some(verification) = &judge.verification else {
        return Vec::new();
    };
    let mut material = Vec::new();
    for target in targets {
        let What::Key(kid) = &target.what else {
            continue;
        };
        for thumbprint in verification.thumbprints_of(&target.iss, kid) {
            material.push(Target {
                iss: target.iss.clone(),
                what: What::Key(thumbprint.to_string()),
            });
        }
    }
    material
}

/// The same, to be revoked.
pub(super) fn named(judge: &Judge, targets: &[Named]) -> Vec<Named> {
    let material = of(judge, targets.iter().map(|named| &named.target));
    let named = material.into_iter().map(|target| Named {
        target,
        end: TokenEnd::Unknown,
    });
    named.collect()
}

/// What the receipt of a key's revocation says of its other names.
pub(super) fn advise(judge: &Judge, receipts: &mut [Receipt]) {
    let Some(verification) = &judge.verification else {
        return;
    };
    for receipt in receipts {
        let What::Key(kid) = &receipt.target.what else {
            continue;
        };
        let iss = &receipt.target.iss;
        let thumbprints = verification.thumbprints_of(iss, kid);
        if thumbprints.is_empty() {
            receipt.warnings.push(
                "no key is known under this kid, so tokens that the same key signed under another \
                 are not denied: see whether the kid is right"
                    .to_owned(),
            );
            continue;
        }
        let keys = verification.issuer(iss).map(|issuer| issuer.keys());
        let others: Vec<String> = keys
            .iter()
            .flat_map(|keys| {
                thumbprints
                    .iter()
                    .flat_map(|thumbprint| keys.kids_of(thumbprint))
            })
            .filter(|other| ***other != **kid)
            .map(|other| format!("{other:?}"))
            .collect();
        if !others.is_empty() {
            receipt.warnings.push(format!(
                "the same key is known as {} too: tokens under these are denied as well",
                others.join(", ")
            ));
        }
    }
}
