//! Orders about registered cheques: stop, unstop, void; endorsement control; what the register says.

use std::sync::Arc;

use feiqian_cheque::messages::{
    Action, EndorseRequest, OrderRequest, RegisterLine, RegisterResponse, StateRequest, StateResponse,
};
use feiqian_cheque::register::Facts;
use feiqian_cheque::verify::Examined;
use feiqian_cheque::{BlockType, Day, Event, Payee, PayeeKey, State};
use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx, Value};
use feiqian_node::Peer;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Timestamp};

use super::register::{ChequeRow, facts};
use super::tables::{CHEQUE, CHEQUE_ORDER};
use crate::Bank;
use crate::accounts::{Holder, open_account};
use crate::refusal::{Refusal, to_blob};

/// How many cheques one tick looks at.
const TICK: u32 = 256;

/// The digests of a document's endorsements, first to last.
pub(crate) fn endorsements(document: &Examined) -> Vec<Digest> {
    let blocks = document.bundle().blocks.iter().zip(document.signatures());
    blocks.filter(|(_, state)| state.kind == BlockType::Endorse).map(|(block, _)| block.digest()).collect()
}

/// The digest to which a register that knows this many of them must have come.
pub(crate) fn endorsed(document: &Examined, endorsements: &[Digest]) -> Digest {
    endorsements.last().copied().unwrap_or_else(|| document.id())
}

fn event_of(action: &Action) -> Result<Event, Fault> {
    match action {
        Action::Stop(reason) => Ok(Event::Stop(*reason)),
        Action::Unstop => Ok(Event::Unstop),
        Action::Void => Ok(Event::Void),
        Action::Certify => Err(Fault::new(Code::RequestInvalid, "certifying has another address")),
    }
}

fn order_facts(bank: &str, holder: &Holder, row: &ChequeRow, now: Timestamp) -> Facts {
    let own = |payee: &Payee| {
        matches!(&payee.known_by, PayeeKey::Account { bank: at, account }
            if at.as_str() == bank && *account == holder.token)
    };
    let mut facts = facts(now);
    facts.by_drawer = row.account == holder.account;
    facts.originator = Some(holder.token.clone());
    facts.drawer_is_holder = row.holder.as_ref().is_some_and(own);
    facts
}

impl Bank {
    /// `POST /v1/account/cheque/order`.
    pub(crate) async fn cheque_order(
        self: Arc<Self>,
        peer: Peer,
        request: OrderRequest,
    ) -> Result<RegisterLine, Fault> {
        let holder = self.holder(&peer).await?;
        let event = event_of(&request.action)?;
        let (now, currency, name) = (self.now(), self.config.currency, self.config.name.clone());
        let action = to_blob(&request.action).map_err(Refusal::from)?;
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, holder.account)?;
            let mut row = ChequeRow::need(tx, holder.account, request.number.0)?;
            if let Some(known) = tx.find(&CHEQUE_ORDER, &[holder.account.into(), request.order.into()])? {
                if known.unsigned(2)? != request.number.0 || known.blob(3)? != action {
                    return Err(Fault::new(Code::Conflict, "the order id was used for another order").into());
                }
                return Ok(row.line(currency));
            }
            let reserved = row.entry.reserved;
            let facts = order_facts(name.as_str(), &holder, &row, now);
            let effect = row.apply(event, &facts)?;
            let account = row.account;
            row.book(tx, effect.ledger, reserved, &request.order, account, now)?;
            row.update(tx)?;
            let number = Value::unsigned(request.number.0)?;
            let at = Value::unsigned(now.seconds())?;
            let values = [account.into(), request.order.into(), number, action.clone().into(), at];
            tx.insert(&CHEQUE_ORDER, &values)?;
            Ok::<_, Refusal>(row.line(currency))
        };
        Ok(self.seams.store.commit("bank.cheque.order", work).await?)
    }

    /// `POST /v1/cheque/endorse`: the drawee records who holds it now, since a file can be copied.
    pub(crate) async fn cheque_endorse(
        self: Arc<Self>,
        peer: Peer,
        request: EndorseRequest,
    ) -> Result<RegisterLine, Fault> {
        let caller = peer.certified()?.subject.clone();
        let document = self.verified(&request.cheque).await?;
        let Some(last) = document.signatures().last().filter(|last| last.kind == BlockType::Endorse) else {
            return Err(Fault::new(Code::RequestInvalid, "the file does not end in an endorsement"));
        };
        let by_caller = last.signer.as_ref() == Some(&caller);
        let (now, currency) = (self.now(), self.config.currency);
        let all = endorsements(&document);
        let work = move |tx: &mut dyn Tx| {
            let mut row = self_row(tx, &document.id())?;
            let tip = endorsed(&document, &all);
            if row.endorsed == Some(tip) {
                return Ok(row.line(currency));
            }
            let before = all.split_last().map_or(&[][..], |(_, before)| before);
            let follows = row.endorsed == Some(endorsed(&document, before));
            let mut facts = facts(now);
            facts.negotiable = document.cheque().negotiable;
            facts.by_holder = by_caller && follows;
            facts.next_sequence = document.endorsements() == row.endorsements.saturating_add(1);
            row.apply(Event::Endorse, &facts)?;
            row.endorsed = Some(tip);
            row.endorsements = document.endorsements();
            row.holder = Some(document.holder().clone());
            row.update(tx)?;
            Ok::<_, Refusal>(row.line(currency))
        };
        Ok(self.seams.store.commit("bank.cheque.endorse", work).await?)
    }

    /// `GET /v1/account/cheque/list`: the newest 256 leaves and cheques.
    pub(crate) async fn cheque_list(self: Arc<Self>, peer: Peer, (): ()) -> Result<RegisterResponse, Fault> {
        let holder = self.holder(&peer).await?;
        let currency = self.config.currency;
        let work = move |tx: &mut dyn Tx| {
            // Used leaves first: a fat book of unused ones must not hide them.
            let sql = format!(
                "SELECT {} FROM cheque WHERE account = ?1 ORDER BY state = 0, number DESC LIMIT 256",
                CHEQUE.column_list()
            );
            let rows = tx.select(&sql, &[holder.account.into()])?;
            let lines = rows.iter().map(|row| Ok(ChequeRow::from_row(row)?.line(currency)));
            lines.collect::<Result<Vec<RegisterLine>, Refusal>>()
        };
        let mut lines = self.seams.store.read(work).await?;
        lines.sort_by_key(|line| std::cmp::Reverse(line.number.0));
        Ok(RegisterResponse { lines: Bounded::new(lines)? })
    }

    /// `POST /v1/cheque/state`.
    pub(crate) async fn cheque_state(
        self: Arc<Self>,
        _peer: Peer,
        request: StateRequest,
    ) -> Result<StateResponse, Fault> {
        let work = move |tx: &mut dyn Tx| {
            let states =
                request.ids.iter().map(|id| Ok(ChequeRow::by_id(tx, id)?.map(|row| row.entry.state)));
            states.collect::<Result<Vec<Option<State>>, Refusal>>()
        };
        Ok(StateResponse { states: Bounded::new(self.seams.store.read(work).await?)? })
    }

    /// Ends cheques whose six months are over, by the calendar.
    ///
    /// # Errors
    /// The store's.
    pub async fn expire_cheques(self: &Arc<Self>) -> Result<(), Fault> {
        let now = self.now();
        let today = Day::of(now);
        let due = move |tx: &mut dyn Tx| {
            let sql = format!(
                "SELECT {} FROM cheque WHERE state IN (?1, ?2) AND reserved = 0 AND good_until < ?3 ORDER BY good_until LIMIT {TICK}",
                CHEQUE.column_list()
            );
            let states = [State::Issued, State::Returned].map(|state| Value::Integer(state.number()));
            let [issued, returned] = states;
            let rows = tx.select(&sql, &[issued, returned, today.to_string().into()])?;
            rows.iter().map(|row| Ok(ChequeRow::from_row(row)?)).collect::<Result<Vec<_>, Refusal>>()
        };
        if self.seams.store.read(due).await?.is_empty() {
            return Ok(());
        }
        let work = move |tx: &mut dyn Tx| {
            for mut row in due(tx)? {
                row.apply(Event::Tick, &facts(now))?;
                row.update(tx)?;
            }
            Ok::<_, Refusal>(())
        };
        Ok(self.seams.store.commit("bank.cheque.expire", work).await?)
    }
}

fn self_row(tx: &mut dyn Tx, cheque: &Digest) -> Result<ChequeRow, Refusal> {
    let row = ChequeRow::by_id(tx, cheque)?;
    Ok(row.ok_or_else(|| Fault::new(Code::NotFound, "the cheque is not of this bank's register"))?)
}
