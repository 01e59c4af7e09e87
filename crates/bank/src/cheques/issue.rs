//! Cheque books, countersigning, certifying.

use std::sync::Arc;

use feiqian_cheque::messages::{BookRequest, BookResponse, ChequeResponse, IssueRequest, OrderRequest};
use feiqian_cheque::{Allotment, Day, Event, Mandate, Submitted, VerifiedCheque, submit, verify};
use feiqian_crypto::Id16;
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Text, Timestamp, U64};

use super::register::{ChequeRow, facts};
use super::tables::{CHEQUE, CHEQUE_BOOK, MANDATE};
use super::{fault, read, write};
use crate::Bank;
use crate::accounts::{Holder, open_account};
use crate::refusal::{Refusal, from_blob};

/// Who may sign on an account: its holder alone, unless the operator said otherwise.
pub(crate) fn mandate(tx: &mut dyn Tx, account: Id16) -> Result<Mandate, Refusal> {
    if let Some(row) = tx.find(&MANDATE, &[account.into()])? {
        return Ok(from_blob(row.blob(1)?)?);
    }
    let token = Text::new(account.to_string()).map_err(Fault::from)?;
    Ok(Mandate::single(&token).map_err(Fault::from)?)
}

/// The book that a number is of.
fn allotment(tx: &mut dyn Tx, account: Id16, number: u64) -> Result<Allotment, Refusal> {
    let sql = "SELECT first, leaves FROM cheque_book WHERE account = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";
    let rows = tx.select(sql, &[account.into(), Value::unsigned(number)?])?;
    let row = rows.first().ok_or_else(|| Fault::new(Code::NotFound, "the number is of no cheque book"))?;
    allotment_of(account, row.unsigned(0)?, row.small(1)?)
}

fn allotment_of(account: Id16, first: u64, leaves: u32) -> Result<Allotment, Refusal> {
    let account = Text::new(account.to_string()).map_err(Fault::from)?;
    Ok(Allotment { account, first: U64(first), leaves })
}

/// What an account may draw now.
pub(crate) fn available(tx: &mut dyn Tx, account: Id16) -> Result<Minor, Refusal> {
    Ok(book::account(tx, account)?.ok_or(StoreError::Missing("ledger_account"))?.available_to_debit())
}

/// Reserves the amount and signs for it. Nothing but the state is looked at besides the money.
fn certify(
    bank: &Bank,
    tx: &mut dyn Tx,
    row: &mut ChequeRow,
    document: VerifiedCheque,
    now: Timestamp,
) -> Result<(), Refusal> {
    let amount = document.cheque().amount.minor;
    let mut facts = facts(now);
    facts.funds_available = available(tx, row.account)? >= amount;
    let effect = row.apply(Event::Certify, &facts)?;
    let id = document.id();
    row.book(tx, effect.ledger, false, &id, row.account, now)?;
    let signer = bank.cheque_signer(now)?;
    let bundle = document.certify(&signer, now).map_err(Fault::from)?;
    row.document = Some(write(&bundle)?.into_vec());
    Ok(())
}

/// What the register says before anything is signed.
struct Found {
    row: ChequeRow,
    book: Allotment,
    mandate: Mandate,
}

impl Bank {
    /// `POST /v1/account/cheque/book`.
    pub(crate) async fn cheque_book(
        self: Arc<Self>,
        peer: Peer,
        request: BookRequest,
    ) -> Result<BookResponse, Fault> {
        let holder = self.holder(&peer).await?;
        let (account, now, most) = (holder.account, self.now(), self.config.cheques.open_leaves);
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, account)?;
            if let Some(row) = tx.find(&CHEQUE_BOOK, &[account.into(), request.request.into()])? {
                if row.small::<u16>(3)? != request.leaves {
                    return Err(Fault::new(
                        Code::Conflict,
                        "the request was made for another count of leaves",
                    )
                    .into());
                }
                return allotment_of(account, row.unsigned(2)?, row.small(3)?);
            }
            let sql = "SELECT count(*) FROM cheque WHERE account = ?1 AND state = 0";
            let open = tx.select(sql, &[account.into()])?.first().map_or(Ok(0), |row| row.unsigned(0))?;
            if open.saturating_add(request.leaves.into()) > most {
                return Err(Fault::new(Code::LimitExceeded, "too many unused leaves").into());
            }
            let sql = "SELECT coalesce(max(number), 0) FROM cheque WHERE account = ?1";
            let last = tx.select(sql, &[account.into()])?.first().map_or(Ok(0), |row| row.unsigned(0))?;
            let token = Text::new(account.to_string()).map_err(Fault::from)?;
            let book = Allotment::after(token, last, request.leaves.into())
                .map_err(|error| Fault::new(Code::RequestInvalid, error.to_string()))?;
            let at = Value::unsigned(now.seconds())?;
            let values = [
                account.into(),
                request.request.into(),
                Value::unsigned(book.first.0)?,
                book.leaves.into(),
                at,
            ];
            tx.insert(&CHEQUE_BOOK, &values)?;
            for number in book.numbers() {
                let row = ChequeRow::allotted(account, number.0, Day::of(now));
                tx.insert(&CHEQUE, &row.values()?)?;
            }
            Ok::<_, Refusal>(book)
        };
        let allotment = self.seams.store.commit("bank.cheque.book", work).await?;
        Ok(BookResponse { allotment })
    }

    /// `POST /v1/account/cheque/issue`: by the account's holder or one of its drawers.
    pub(crate) async fn cheque_issue(
        self: Arc<Self>,
        peer: Peer,
        request: IssueRequest,
    ) -> Result<ChequeResponse, Fault> {
        let holder = self.holder(&peer).await?;
        let bundle = read(&request.cheque)?;
        let id = bundle.id().map_err(feiqian_cheque::ChequeError::from)?;
        let found = self.find_leaf(&holder, &request).await?;
        if found.row.id == Some(id) {
            return self.issued_before(&found.row, request.certify).await;
        }
        let submitted = self.judge(|trust| submit(bundle, trust)).map_err(fault)?;
        let document = self.countersign(submitted, &found)?;
        request.notice.check(&document).map_err(feiqian_cheque::ChequeError::from)?;
        self.register_cheque(found, document, request).await
    }

    async fn find_leaf(&self, holder: &Holder, request: &IssueRequest) -> Result<Found, Fault> {
        let unknown = || Fault::new(Code::AccountUnknown, "no such account at this bank");
        let account: Id16 = request.notice.account.parse().map_err(|_| unknown())?;
        let (token, number) = (holder.token.clone(), request.notice.number.0);
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, account)?;
            let mandate = mandate(tx, account)?;
            if token.as_str() != account.to_string() && !mandate.drawers.contains(&token) {
                return Err(Fault::new(Code::Forbidden, "the caller may not draw on this account").into());
            }
            let row = ChequeRow::need(tx, account, number)?;
            let book = allotment(tx, account, number)?;
            Ok::<_, Refusal>(Found { row, book, mandate })
        };
        Ok(self.seams.store.read(work).await?)
    }

    async fn issued_before(
        self: &Arc<Self>,
        row: &ChequeRow,
        certify: bool,
    ) -> Result<ChequeResponse, Fault> {
        if certify && row.entry.state == feiqian_cheque::State::Issued {
            return self.certify_stored(row.account, row.number, None).await;
        }
        document_of(row)
    }

    fn countersign(&self, submitted: Submitted, found: &Found) -> Result<VerifiedCheque, Fault> {
        let now = self.now();
        let cheque = submitted.cheque();
        if cheque.amount.currency != self.config.currency {
            return Err(Fault::new(Code::WrongCurrency, "the account is kept in another currency"));
        }
        if cheque.date.is_stale(Day::of(now)) {
            return Err(Fault::new(Code::Expired, "the cheque's date is more than six months ago"));
        }
        let signer = self.cheque_signer(now)?;
        let bundle = submitted.countersign(&found.book, &found.mandate, &signer, now)?;
        self.judge(|trust| verify(bundle, trust)).map_err(fault)
    }

    /// The leaf becomes a cheque: signed, countersigned and, if wished, certified, all at once.
    async fn register_cheque(
        self: &Arc<Self>,
        found: Found,
        document: VerifiedCheque,
        request: IssueRequest,
    ) -> Result<ChequeResponse, Fault> {
        let (bank, now) = (Arc::clone(self), self.now());
        let file = write(document.bundle())?;
        let (account, number) = (found.row.account, found.row.number);
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, account)?;
            let mut row = ChequeRow::need(tx, account, number)?;
            if row.id == Some(document.id()) {
                // The same request, at the same time.
                return Ok(document_of(&row)?);
            }
            let amount = document.cheque().amount.minor;
            let mut signed = facts(now);
            signed.mandate_met = mandate(tx, account)? == found.mandate;
            signed.within_limit = amount <= bank.config.cheques.cheque_limit();
            signed.number_unused = row.id.is_none();
            row.entry.date = if row.id.is_none() { document.cheque().date } else { row.entry.date };
            row.apply(Event::Sign, &signed)?;
            let mut countersigned = facts(now);
            // Both were checked when the drawers' signatures were judged under the account's mandate.
            countersigned.certificate_valid = true;
            countersigned.bound_to_account = true;
            row.apply(Event::Countersign, &countersigned)?;
            row.id = Some(document.id());
            row.amount = Some(amount);
            row.notice = Some(request.notice.clone());
            row.holder = Some(document.holder().clone());
            row.endorsed = Some(document.id());
            row.document = Some(file.to_vec());
            if request.certify {
                certify(&bank, tx, &mut row, document.clone(), now)?;
            }
            row.update(tx)?;
            Ok::<_, Refusal>(document_of(&row)?)
        };
        Ok(self.seams.store.commit("bank.cheque.issue", work).await?)
    }

    /// `POST /v1/account/cheque/certify`.
    pub(crate) async fn cheque_certify(
        self: Arc<Self>,
        peer: Peer,
        request: OrderRequest,
    ) -> Result<ChequeResponse, Fault> {
        let holder = self.holder(&peer).await?;
        if request.action != feiqian_cheque::messages::Action::Certify {
            return Err(Fault::new(Code::RequestInvalid, "other orders have another address"));
        }
        let shown = match &request.cheque {
            None => None,
            Some(file) => Some(self.verified(file).await?),
        };
        self.certify_stored(holder.account, request.number.0, shown).await
    }

    /// Certifies the file shown, or the one the bank countersigned.
    async fn certify_stored(
        self: &Arc<Self>,
        account: Id16,
        number: u64,
        shown: Option<VerifiedCheque>,
    ) -> Result<ChequeResponse, Fault> {
        let (bank, now) = (Arc::clone(self), self.now());
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, account)?;
            let mut row = ChequeRow::need(tx, account, number)?;
            if row.entry.reserved {
                return Ok(document_of(&row)?);
            }
            let document = match shown.clone() {
                Some(document) => document,
                None => {
                    let bundle = read(&document_of(&row)?.cheque)?;
                    bank.judge(|trust| verify(bundle, trust)).map_err(fault)?
                }
            };
            if row.id != Some(document.id()) {
                return Err(Fault::new(Code::Conflict, "the file is of another cheque").into());
            }
            certify(&bank, tx, &mut row, document, now)?;
            row.update(tx)?;
            Ok::<_, Refusal>(document_of(&row)?)
        };
        Ok(self.seams.store.commit("bank.cheque.certify", work).await?)
    }
}

fn document_of(row: &ChequeRow) -> Result<ChequeResponse, Fault> {
    let file = row.document.clone().ok_or_else(|| Fault::new(Code::NotFound, "the leaf was not used yet"))?;
    Ok(ChequeResponse { cheque: feiqian_cheque::messages::Document::new(file)? })
}
