//! From `BANK/ACCOUNT` or a certificate to the payee line of a cheque.

use std::path::Path;

use feiqian_cheque::messages::{CertificateAnswer, CertificateQuery};
use feiqian_cheque::{Payee, PayeeKey};
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{Chain, Purpose, Revocation, Role, Verified, validate};
use feiqian_wire::error::Code;
use feiqian_wire::{Name, Text};

use crate::cheque::act::lying;
use crate::cheque::leaf::Place;
use crate::cheque::{read_file, unjudged, unusable};
use crate::failure::{Failure, Result};
use crate::wallet::Wallet;

/// The longest certificate file.
const MAX_PEM: usize = 16 * 1024;

/// A payee and where its account is.
pub(crate) struct Named {
    pub(crate) payee: Payee,
    pub(crate) place: Place,
}

/// Splits `BANK/ACCOUNT`.
pub(crate) fn read_place(to: &str) -> Result<Place> {
    let wrong = || {
        Failure::new(Code::Usage, format!("`{to}` names no account"))
            .hint("write it as BANK/ACCOUNT, as in south/5409")
    };
    let (bank, account) = to.split_once('/').ok_or_else(wrong)?;
    let account = Text::new(account).map_err(|_| wrong())?;
    if account.is_empty() {
        return Err(wrong());
    }
    Ok(Place { bank: Name::new(bank).map_err(|_| wrong())?, account })
}

impl Wallet {
    /// The payee that the bank of an account names, with a certificate of that account to show for it.
    pub(crate) async fn payee(&self, to: &str) -> Result<Named> {
        let asked = read_place(to)?;
        let query = CertificateQuery { account: asked.account.clone() };
        let answer: CertificateAnswer =
            self.certified(asked.bank.as_str(), "/v1/certificate", &query).await?;
        let PayeeKey::Account { bank, account } = &answer.payee.known_by else {
            return Err(lying("a payee without account"));
        };
        let verified = self.holder(&WireChain(answer.chain.clone()).to_chain()?).await?;
        // A person names an account by its token or by its holder's name there.
        let fits = *bank == asked.bank
            && (*account == asked.account || answer.payee.name.as_str() == asked.account.as_str())
            && verified.subject.name() == account.as_str()
            && verified.subject.bank_name() == Some(bank.as_str());
        if !fits {
            return Err(lying("the certificate of another account"));
        }
        let place = Place { bank: asked.bank, account: account.clone() };
        Ok(Named { payee: answer.payee, place })
    }

    /// The payee of a certificate file: leaf first, with its bank's authority.
    pub(crate) async fn payee_of_certificate(&self, path: &Path) -> Result<Named> {
        let bytes = read_file(path, MAX_PEM)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| unusable(path, error))?;
        let chain = Chain::from_pem(text).map_err(|error| unusable(path, error))?;
        let verified = self.holder(&chain).await?;
        let bank = verified.subject.bank_name().unwrap_or_default();
        let place = Place { bank: Name::new(bank)?, account: Text::new(verified.subject.name())? };
        let name = Text::fitted(&format!("{bank}/{}", place.account));
        Ok(Named { payee: Payee { name, known_by: PayeeKey::Certificate(verified.fingerprint) }, place })
    }

    async fn holder(&self, chain: &Chain) -> Result<Verified> {
        let lists = self.lists().await?;
        let view = self.view();
        let now = self.now().seconds();
        let verified = validate(chain, view.root(), Purpose::Signing, Revocation::Required(&lists), now)
            .map_err(|error| {
                let why = format!("the payee's certificate: {error}");
                if error.lacks_list() { unjudged(&why) } else { Failure::new(Code::CertificateInvalid, why) }
            })?;
        if !matches!(verified.subject.role(), Role::Customer | Role::Merchant) {
            return Err(Failure::new(
                Code::CertificateInvalid,
                "the payee's certificate is not of an account",
            ));
        }
        Ok(verified)
    }
}
