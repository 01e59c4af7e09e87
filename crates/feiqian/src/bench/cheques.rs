//! Cheques: reading a file and checking everything in it that needs no register. That is its form, the chain of blocks,
//! each signer's certificates up to the root, the revocation lists, and each block's Ed25519 signature.

use std::hint::black_box;

use feiqian_cheque::steps::Mandate;
use feiqian_cheque::{
    Allotment, Bundle, ChequeError, Day, Order, Payee, PayeeKey, Signer, Trust, draw, submit, verify,
};
use feiqian_money::{Amount, Currency};
use feiqian_node::{Entropy as _, SystemEntropy};
use feiqian_pki::{
    Authority, CertificateRequest, Chain, KeyPair, PkiError, Purpose, RevocationList, Subject, TrustedRoot,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Name, Text, Timestamp, U64};
use rand_core::CryptoRng;

/// When the cheques are drawn; any time would do.
const NOW: u64 = 1_796_119_200;
const DAY: u64 = 86_400;
const TOMORROW: u64 = NOW + DAY;
const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// Countersigned cheques of one drawer, and what they are judged by.
pub(super) struct Cheques {
    root: TrustedRoot,
    lists: Vec<RevocationList>,
    files: Vec<Vec<u8>>,
}

/// Why the material cannot be made: a mistake of this program in any case.
#[derive(Debug, thiserror::Error)]
enum Unmade {
    #[error(transparent)]
    Certificates(#[from] PkiError),
    #[error(transparent)]
    Cheque(#[from] ChequeError),
    #[error(transparent)]
    Text(#[from] feiqian_wire::OutOfBounds),
    #[error(transparent)]
    Money(#[from] feiqian_money::MoneyError),
}

impl Cheques {
    /// Draws and countersigns `count` different cheques.
    ///
    /// # Errors
    /// `INTERNAL` when one of them does not verify.
    pub(super) fn make(count: usize) -> Result<Self, Fault> {
        let failed = |error: &dyn std::fmt::Display| {
            Fault::new(Code::Internal, format!("a cheque made for the measure is not good: {error}"))
        };
        let made = Self::drawn(count, &mut SystemEntropy.rng()).map_err(|error| failed(&error))?;
        made.check(&made.files).map_err(|error| failed(&error))?;
        Ok(made)
    }

    fn drawn(count: usize, rng: &mut impl CryptoRng) -> Result<Self, Unmade> {
        let center = Authority::root("center", KeyPair::generate(rng), NOW, rng)?;
        let key = KeyPair::generate(rng);
        let asked = request(&key, &Subject::bank("north")?)?;
        let north = Authority::from_parts(key, center.issue_bank_authority(&asked, "north", NOW, rng)?)?;
        let (drawer, drawer_chain) = leaf(&north, &Subject::customer(ACCOUNT, "north")?, rng)?;
        let (bank, bank_chain) = leaf(&north, &Subject::bank("north")?, rng)?;
        let root = center.trusted_root()?;
        let lists = vec![center.issue_crl(&[], 1, NOW, TOMORROW)?, north.issue_crl(&[], 1, NOW, TOMORROW)?];
        let mut files = Vec::with_capacity(count);
        {
            let now = Timestamp::new(NOW);
            let trust = Trust::new(&root, &lists, now);
            let drawer = Signer::new(&drawer, &drawer_chain, &root, now)?;
            let bank = Signer::new(&bank, &bank_chain, &root, now)?;
            for number in 1..=u64::try_from(count).unwrap_or(u64::MAX) {
                // A book of one leaf each.
                let book = Allotment::after(Text::new(ACCOUNT)?, number.saturating_sub(1), 1)?;
                let order = order()?;
                let mandate = order.mandate.clone();
                let drawn = draw(book.tear_out(U64(number))?, order, &drawer)?;
                let submitted = submit(drawn.into_bundle(), &trust)?;
                files.push(submitted.countersign(&book, &mandate, &bank, now)?.to_bytes()?);
            }
        }
        Ok(Self { root, lists, files })
    }

    /// The first `batch` files.
    pub(super) fn files(&self, batch: usize) -> &[Vec<u8>] {
        self.files.get(..batch).unwrap_or(&self.files)
    }

    /// Judges these files again and again; each time, as the verification service does, with one trust for all.
    pub(super) fn checking<'a>(&'a self, files: &'a [Vec<u8>]) -> impl FnMut() + 'a {
        move || {
            let checked = self.check(files);
            debug_assert!(checked.is_ok(), "cheques made for the measure verify");
            let _ = black_box(checked);
        }
    }

    fn check(&self, files: &[Vec<u8>]) -> Result<(), ChequeError> {
        let trust = Trust::new(&self.root, &self.lists, Timestamp::new(NOW));
        for file in files {
            black_box(verify(Bundle::from_bytes(file)?, &trust)?);
        }
        Ok(())
    }
}

fn request(key: &KeyPair, subject: &Subject) -> Result<CertificateRequest, PkiError> {
    CertificateRequest::verify(&CertificateRequest::create(key, subject)?)
}

fn leaf(
    authority: &Authority,
    subject: &Subject,
    rng: &mut impl CryptoRng,
) -> Result<(KeyPair, Chain), PkiError> {
    let key = KeyPair::generate(rng);
    let asked = request(&key, subject)?;
    let chain = authority.issue_leaf(&asked, subject, Purpose::Signing, &[], DAY, NOW, rng)?;
    Ok((key, chain))
}

fn order() -> Result<Order, Unmade> {
    let known_by = PayeeKey::Account { bank: Name::new("south")?, account: Text::new(ACCOUNT)? };
    Ok(Order {
        bank: Name::new("north")?,
        mandate: Mandate::single(&Text::new(ACCOUNT)?)?,
        payee: Payee { name: Text::new("shop")?, known_by },
        amount: Amount::parse("250.00", Currency::CNY)?,
        date: Day::of(Timestamp::new(NOW)),
        memo: Text::new("rent")?,
        negotiable: false,
        attachments: Vec::new(),
    })
}
