//! Paying a request.

use std::path::{Path, PathBuf};

use feiqian_crypto::Digest;
use feiqian_ledger::store::StoreExt;
use feiqian_node::{CallError, Caller, Endpoint, Target};
use feiqian_online_cash::deposit::{CashItem, Outcome, PayResponse, PayeeReceipt, Receipt};
use feiqian_online_cash::drop_box::{PutRequest, Sealed};
use feiqian_online_cash::evidence::Evidence;
use feiqian_online_cash::request::{Delivery, Payee, Route, SignedRequest, VerifiedRequest};
use feiqian_pki::Role;
use feiqian_wire::codec;
use feiqian_wire::error::{Code, Fault};
use serde_json::Value;

use crate::RefreshPolicy;
use crate::answer::{Paid, show};
use crate::failure::{Failure, Result};
use crate::payment::Terms;
use crate::pledge;
use crate::record::{PaymentRow, decode, encode, note};
use crate::tables::PAYMENT;
use crate::wallet::Wallet;

impl Wallet {
    pub(crate) async fn pay(&self, uri: &str, out: Option<PathBuf>) -> Result<Value> {
        let request = SignedRequest::from_uri(uri)?;
        let digest = request.request.digest();
        let known = self.seams.store.read(move |tx| PaymentRow::find(tx, &digest)).await?;
        let row = match known {
            Some(row) if row.kind == "pay" => self.redirect(row, out).await?,
            Some(_) => {
                return Err(Failure::new(Code::Conflict, "the request is one of this wallet's own deposits"));
            }
            None => self.sign_for(request, out).await?,
        };
        let row = match row.state.as_str() {
            "signed" | "taken" => self.deliver(row).await?,
            "refused" | "lapsed" => return Err(gave_up(&row)),
            _ => row,
        };
        if self.config.refresh == RefreshPolicy::AtOnce {
            // The payment stands whatever becomes of the change: what is left undone is done with the next command.
            if let Err(failure) = self.refresh_coins().await {
                tracing::info!(fault = %Fault::from(failure), "change comes later");
            }
        }
        let outcome = match row.state.as_str() {
            "paid" => "paid",
            "delivered" => "delivered",
            _ => "pending",
        };
        let amount = self.amount(row.amount);
        show(&Paid { payment: row.payment, outcome, amount: amount.to_string(), currency: amount.currency })
    }

    /// Checks a request as its payer: signature, time, currency, and that the payee sees the keysets we see.
    async fn check_request(&self, request: &SignedRequest) -> Result<VerifiedRequest> {
        let now = self.now();
        let verified = match request.verify(&*self.view(), now) {
            Ok(verified) => verified,
            Err(first) => {
                // The payee's bank may have joined since.
                if first.code() != Code::CertificateInvalid || self.sync().await.is_err() {
                    return Err(first.into());
                }
                request.verify(&*self.view(), now)?
            }
        };
        verified.check_open(now)?;
        if verified.request.amount.currency != self.config.currency {
            return Err(Failure::new(
                Code::WrongCurrency,
                format!(
                    "the request is in {}, the wallet holds {}",
                    verified.request.amount.currency, self.config.currency
                ),
            ));
        }
        self.check_view(&verified.request.view).await?;
        Ok(verified)
    }

    async fn check_view(&self, view: &Digest) -> Result<()> {
        if self.view().pins.has_seen(view) {
            return Ok(());
        }
        self.sync().await?;
        if self.view().pins.has_seen(view) {
            return Ok(());
        }
        Err(Failure::new(
            Code::KeysetNotPinned,
            "the payee sees other keysets than the center shows to this wallet",
        )
        .hint("do not pay: compare the center's root with the payee, someone may be tracing coins"))
    }

    async fn sign_for(&self, request: SignedRequest, out: Option<PathBuf>) -> Result<PaymentRow> {
        let verified = self.check_request(&request).await?;
        let file = out.map(absolute).transpose()?;
        check_delivery(&verified.request.payee, &verified.request.delivery, file.is_some())?;
        let chosen = self.choose(verified.request.amount.minor).await?;
        let terms = Terms { kind: "pay", point: "wallet.pay.sign", file, intent: None };
        let parcel = |item: &CashItem| match (&verified.request.payee, &verified.request.delivery) {
            (Payee::Key(payee), Delivery::DropBox(_)) => {
                // Sealed once and kept: a repeat must not become a second message.
                let message = Sealed::seal(payee, &codec::encode(item)?, &mut self.rng())?;
                let put = PutRequest { payee: *payee, message, keep_until: verified.request.expires };
                Ok(Some(encode(&put)?))
            }
            _ => Ok(None),
        };
        self.sign_payment(request, chosen, parcel, terms).await
    }

    /// A repeat may ask for a file where the first did not, or for another one.
    async fn redirect(&self, row: PaymentRow, out: Option<PathBuf>) -> Result<PaymentRow> {
        let Some(path) = out else { return Ok(row) };
        let mut row = row;
        row.file = Some(absolute(path)?);
        if row.state == "delivered" {
            write_item(&row)?;
        }
        self.update_payment("wallet.pay.redirect", row).await
    }

    /// Sends a payment on its way; the same bytes however often it is repeated.
    pub(crate) async fn deliver(&self, row: PaymentRow) -> Result<PaymentRow> {
        if row.kind == "deposit" {
            return self.send_deposit(row).await;
        }
        if row.file.is_some() {
            write_item(&row)?;
            return self.mark(row, "delivered", "wallet.pay.delivered").await;
        }
        match &row.item.request.request.delivery {
            Delivery::ByHand => Err(Failure::new(Code::Usage, "this request is paid by hand")
                .hint("add --out FILE and hand the file over")),
            Delivery::DropBox(url) => {
                let put: PutRequest = match &row.parcel {
                    Some(parcel) => decode(parcel, &PAYMENT)?,
                    None => return Err(Failure::broken("a payment for a drop box without its parcel")),
                };
                let to = self.box_target(url)?;
                let sent: Result<(), CallError> =
                    self.ask(&to, Caller::Anonymous, "/v1/drop/put", &put).await;
                match sent {
                    Ok(()) => self.mark(row, "delivered", "wallet.pay.delivered").await,
                    Err(CallError::Fault(fault)) if fault.is_definitive() => Err(Failure::from(fault)
                        .hint("repeat the payment with --out FILE and hand the file over")),
                    Err(error) => Err(error.into()),
                }
            }
            Delivery::Url(url) => {
                let to = self.payee_target(url, &row)?;
                let answer: Result<PayResponse, CallError> =
                    self.ask(&to, Caller::Anonymous, "/v1/pay", &row.item.payment).await;
                match answer {
                    Ok(PayResponse::Paid(receipt)) => self.accept_receipt(row, receipt).await,
                    Ok(PayResponse::Pending) => self.mark(row, "taken", "wallet.pay.taken").await,
                    Ok(PayResponse::Refused(outcome)) => self.refused(row, outcome).await,
                    Err(CallError::Fault(fault)) if fault.is_definitive() => {
                        self.refused(row, Outcome::Refused(fault)).await
                    }
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// The bank behind a drop box's URL, by name if the directory has it.
    fn box_target(&self, url: &str) -> Result<Target> {
        let endpoint: Endpoint = parse(url)?;
        self.check_pin(&endpoint)?;
        let view = self.view();
        let member = view.members().values().find(|member| member.entry.url.as_str() == endpoint.url());
        Ok(match member {
            Some(member) => Target::named(endpoint.url(), Role::Bank, member.entry.name.as_str()),
            None => Target::anyone(endpoint.url()),
        })
    }

    fn payee_target(&self, url: &str, row: &PaymentRow) -> Result<Target> {
        let endpoint: Endpoint = parse(url)?;
        self.check_pin(&endpoint)?;
        Ok(match &row.item.request.request.route {
            Route::Account { account, .. } => Target::named(endpoint.url(), Role::Merchant, account.as_str()),
            Route::Received => Target::anyone(endpoint.url()),
        })
    }

    fn check_pin(&self, endpoint: &Endpoint) -> Result<()> {
        match endpoint.pin.fingerprint {
            Some(pin) if pin != self.view().root().fingerprint() => {
                Err(Failure::new(Code::WrongRoot, "the payee belongs to another center"))
            }
            _ => Ok(()),
        }
    }

    /// Checks the bank's receipt for this very payment.
    pub(crate) async fn check_receipt(&self, row: &PaymentRow, receipt: &Receipt) -> Result<()> {
        let asked = &row.item.request.request;
        let fits = receipt.payment == row.payment
            && receipt.request == row.request
            && receipt.amount == asked.amount
            && receipt.route == asked.route
            && receipt.bank.as_str() == row.bank;
        if !fits {
            return Err(Failure::new(Code::SignatureInvalid, "the receipt is for another payment"));
        }
        Ok(receipt.verify(&self.bank_signer(&row.bank).await?)?)
    }

    async fn accept_receipt(&self, row: PaymentRow, receipt: PayeeReceipt) -> Result<PaymentRow> {
        self.check_receipt(&row, &receipt.receipt).await?;
        if let Payee::Certified { leaf, issuer } = &row.item.request.request.payee {
            use feiqian_online_cash::request::Authorities;
            let payee = self.view().payee(leaf, issuer, self.now())?;
            receipt.signature.verify(&payee.public_key, &receipt.receipt.digest(), "payee's receipt")?;
        }
        self.settle_paid(row, &receipt.receipt, "wallet.pay.paid").await
    }

    /// Notes that a payment took effect.
    pub(crate) async fn settle_paid(
        &self,
        row: PaymentRow,
        receipt: &Receipt,
        point: &'static str,
    ) -> Result<PaymentRow> {
        if row.state == "paid" {
            return Ok(row);
        }
        let (mut row, now) = (row, self.now());
        (row.state, row.receipt) = ("paid".to_owned(), Some(encode(receipt)?));
        let kept = row.clone();
        self.seams
            .store
            .commit(point, move |tx| {
                let before = PaymentRow::find(tx, &row.request)?;
                if before.is_some_and(|before| before.state == "paid") {
                    return Ok(());
                }
                pledge::resolve(tx, &row.payment, "effective")?;
                tx.update(&PAYMENT, &row.values()?)?;
                note(tx, now, &row.kind, row.amount, &row.bank, &row.payment)
            })
            .await?;
        Ok(kept)
    }

    /// The payee does not take the payment. The coins stay signed away until the request has expired.
    pub(crate) async fn refused(&self, row: PaymentRow, outcome: Outcome) -> Result<PaymentRow> {
        let fault = match outcome {
            Outcome::Paid(receipt) | Outcome::AlreadyPaid(receipt) => {
                self.check_receipt(&row, &receipt).await?;
                return self.settle_paid(row, &receipt, "wallet.pay.paid").await;
            }
            Outcome::DoubleSpent(evidence) => {
                self.check_evidence(&row, &evidence)?;
                let place = self.keep_evidence(row.payment, &evidence).await?;
                let verdict = "a coin of this payment was signed away beyond its value";
                let hint = place.map_or_else(
                    || "the evidence is in the wallet's store".to_owned(),
                    |path| format!("the evidence is in {}", path.display()),
                );
                Fault::new(Code::DoubleSpent, verdict).hint(hint)
            }
            Outcome::Refused(fault) => {
                let hint = fault.hint.as_ref().map_or_else(
                    || format!("the coins come back after {} (Unix time)", row.expires.seconds()),
                    |hint| hint.as_str().to_owned(),
                );
                fault.hint(hint)
            }
        };
        self.mark(row, "refused", "wallet.pay.refused").await?;
        Err(fault.into())
    }

    /// Whether evidence is about this very payment: true evidence about other coins is no answer, or one double spend
    /// of anybody would refuse every payment.
    ///
    /// # Errors
    /// `EVIDENCE_INVALID`: the answer is unsound and decides nothing, the payment stays as it is.
    fn check_evidence(&self, row: &PaymentRow, evidence: &Evidence) -> Result<()> {
        let fits = evidence
            .verify(self.view().root())
            .is_ok_and(|finding| finding.bank == row.bank && finding.statements.contains(&row.payment));
        if fits {
            return Ok(());
        }
        Err(Failure::new(Code::EvidenceInvalid, "a double spend is claimed, but not shown for this payment")
            .hint(
                "the payment stands as it was sent: repeat it later, or wait until its request has expired",
            ))
    }

    async fn mark(&self, row: PaymentRow, state: &str, point: &'static str) -> Result<PaymentRow> {
        if row.state == state {
            return Ok(row);
        }
        let mut row = row;
        row.state = state.to_owned();
        if state == "delivered" {
            let (noted, now) = (row.clone(), self.now());
            let kept = row;
            self.seams
                .store
                .commit(point, move |tx| {
                    tx.update(&PAYMENT, &noted.values()?)?;
                    note(tx, now, "deliver", noted.amount, &noted.bank, &noted.payment)
                })
                .await?;
            return Ok(kept);
        }
        self.update_payment(point, row).await
    }

    pub(crate) async fn update_payment(&self, point: &'static str, row: PaymentRow) -> Result<PaymentRow> {
        let kept = row.clone();
        self.seams
            .store
            .commit(point, move |tx| Ok::<_, Failure>(tx.update(&PAYMENT, &row.values()?)?))
            .await?;
        Ok(kept)
    }
}

fn gave_up(row: &PaymentRow) -> Failure {
    let message = if row.state == "lapsed" {
        "the payment expired undeposited and its coins came back"
    } else {
        "the payee refused this payment"
    };
    Failure::new(Code::Void, message).hint(
        "ask the payee for a new request; coins of a refused payment come back after its request expired",
    )
}

fn parse(url: &str) -> Result<Endpoint> {
    url.parse()
        .map_err(|error: feiqian_node::EndpointError| Failure::new(Code::RequestInvalid, error.to_string()))
}

fn check_delivery(payee: &Payee, delivery: &Delivery, by_file: bool) -> Result<()> {
    match (payee, delivery) {
        _ if by_file => Ok(()),
        (_, Delivery::ByHand) => Err(Failure::new(Code::Usage, "this request is paid by hand")
            .hint("add --out FILE and hand the file over")),
        (Payee::Certified { .. }, Delivery::DropBox(_)) => {
            Err(Failure::new(Code::RequestInvalid, "a drop box needs a payee key to seal to")
                .hint("add --out FILE"))
        }
        _ => Ok(()),
    }
}

fn absolute(path: PathBuf) -> Result<String> {
    let whole = std::path::absolute(&path)
        .map_err(|error| Failure::new(Code::Usage, format!("{}: {error}", path.display())))?;
    whole.to_str().map(str::to_owned).ok_or_else(|| Failure::new(Code::Usage, "the file's name is not UTF-8"))
}

/// Writes the file that `receive` reads: the item as JSON.
fn write_item(row: &PaymentRow) -> Result<()> {
    let Some(file) = &row.file else { return Ok(()) };
    let json = codec::encode_json(&row.item)?;
    feiqian_node::files::write_private(Path::new(file), &json).map_err(|error| {
        Failure::new(Code::Usage, format!("cannot write {file}: {error}"))
            .hint("the payment is stored: repeat the command with another --out FILE")
    })
}
