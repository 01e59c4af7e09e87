//! One booking of an account, as statement and advice both show it.

use feiqian_money::Amount;
use feiqian_wire::Timestamp;

use super::identity::agent;
use super::value::date_time;
use super::xml::Node;
use super::{CLEARING_SYSTEM, CalendarDay, ExportError, Party, Reference, ReturnReason};

/// Which side of the account an amount stands on, as its holder sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The holder has or gets it.
    Credit,
    /// The holder owes or gives it.
    Debit,
}

impl Side {
    /// `CreditDebitCode`.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Credit => "CRDT",
            Self::Debit => "DBIT",
        }
    }
}

/// Whether a booking stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryStatus {
    /// Posted.
    Booked,
    /// Waits for settlement.
    Pending,
}

impl EntryStatus {
    fn code(self) -> &'static str {
        match self {
            Self::Booked => "BOOK",
            Self::Pending => "PDNG",
        }
    }
}

/// What a booking is, for the bank transaction code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// Base money brought in.
    Funding,
    /// Base money taken out.
    Payout,
    /// Coins withdrawn.
    Withdrawal,
    /// Coins deposited.
    Deposit,
    /// A payment with coins given back.
    Refund,
    /// A cheque the holder drew (debit) or deposited (credit).
    Cheque,
    /// Such a cheque, unpaid.
    ChequeReturn,
    /// A remittance sent (debit) or received (credit).
    Transfer,
    /// Such a remittance, returned.
    TransferReturn,
    /// A charge of the bank.
    Fee,
}

impl EntryKind {
    /// Family and sub-family in the domain of payments; the proprietary code that says the same in our words.
    fn codes(self, side: Side) -> (&'static str, &'static str, &'static str) {
        let sided = |debit, credit| if side == Side::Debit { debit } else { credit };
        match self {
            Self::Funding => ("CNTR", "CDPT", "funding"),
            Self::Payout => ("CNTR", "CWDL", "payout"),
            Self::Withdrawal => ("CNTR", "CWDL", "withdrawal"),
            Self::Deposit => ("CNTR", "CDPT", "deposit"),
            Self::Refund => ("CNTR", sided("CWDL", "CDPT"), "refund"),
            Self::Cheque => (sided("ICHQ", "RCHQ"), "CCHQ", "cheque"),
            // The credit gives the drawer his money back, the debit takes it from the depositor again.
            Self::ChequeReturn => (sided("RCHQ", "ICHQ"), "UPCQ", "cheque-return"),
            Self::Transfer => (sided("ICDT", "RCDT"), "DMCT", "transfer"),
            Self::TransferReturn => (sided("RCDT", "ICDT"), "RRTN", "transfer-return"),
            Self::Fee => (sided("MDOP", "MCOP"), "CHRG", "fee"),
        }
    }

    fn node(self, side: Side) -> Node {
        let (family, sub_family, own) = self.codes(side);
        let family = Node::new("Fmly").text("Cd", family).text("SubFmlyCd", sub_family);
        let domain = Node::new("Domn").text("Cd", "PMNT").node(family);
        let own = Node::new("Prtry").text("Cd", own).text("Issr", CLEARING_SYSTEM);
        Node::new("BkTxCd").node(domain).node(own)
    }
}

/// What else is known of a booking; everything may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The reference the payer gave.
    pub end_to_end: Option<Reference>,
    /// The transaction at the center, such as the presentment.
    pub transaction: Option<Reference>,
    /// The cheque's number.
    pub cheque_number: Option<u64>,
    /// Who is on the other side.
    pub counterparty: Option<Party>,
    /// What the payer wrote; as many lines of 140 characters as it needs.
    pub memo: String,
    /// Why it came back.
    pub returned: Option<ReturnReason>,
}

/// One booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Unique within the account.
    pub reference: Reference,
    /// How much, in the account's currency.
    pub amount: Amount,
    /// Which way.
    pub side: Side,
    /// Whether it stands.
    pub status: EntryStatus,
    /// Whether it takes back an earlier one. Payer and payee are then those of the earlier one.
    pub reversal: bool,
    /// When it was booked.
    pub booked: Timestamp,
    /// What it is.
    pub kind: EntryKind,
    /// What else is known.
    pub details: Details,
}

impl Entry {
    /// `Ntry`, of an account of this holder.
    pub(super) fn node(&self, holder: &Party) -> Result<Node, ExportError> {
        let booked = Node::new("BookgDt").text("DtTm", date_time(self.booked)?);
        let value = Node::new("ValDt").text("Dt", CalendarDay::of(self.booked)?.to_string());
        Ok(Node::new("Ntry")
            .text("NtryRef", &self.reference)
            .amount("Amt", self.amount)?
            .text("CdtDbtInd", self.side.code())
            .text("RvslInd", if self.reversal { "true" } else { "false" })
            .node(Node::new("Sts").text("Cd", self.status.code()))
            .node(booked)
            .node(value)
            .text("AcctSvcrRef", &self.reference)
            .node(self.kind.node(self.side))
            .node(Node::new("NtryDtls").node(self.transaction(holder)?)))
    }

    /// `TxDtls`: one booking is one transaction.
    fn transaction(&self, holder: &Party) -> Result<Node, ExportError> {
        let details = &self.details;
        let remittance =
            (!details.memo.is_empty()).then(|| Node::new("RmtInf").lines("Ustrd", &details.memo));
        let mut node = Node::new("TxDtls")
            .node(self.references())
            .amount("Amt", self.amount)?
            .text("CdtDbtInd", self.side.code());
        if let Some(counterparty) = &details.counterparty {
            // What is taken back keeps its parties: who had paid is still the debtor.
            let holder_is_creditor = (self.side == Side::Credit) != self.reversal;
            let (debtor, creditor) =
                if holder_is_creditor { (counterparty, holder) } else { (holder, counterparty) };
            node = node.node(parties(debtor, creditor)).node(
                Node::new("RltdAgts")
                    .node(agent("DbtrAgt", &debtor.bank))
                    .node(agent("CdtrAgt", &creditor.bank)),
            );
        }
        Ok(node.maybe(remittance).maybe(details.returned.as_ref().map(|reason| reason.node("RtrInf"))))
    }

    fn references(&self) -> Node {
        let mut node = Node::new("Refs").text("AcctSvcrRef", &self.reference);
        if let Some(reference) = &self.details.end_to_end {
            node = node.text("EndToEndId", reference);
        }
        if let Some(reference) = &self.details.transaction {
            node = node.text("TxId", reference);
        }
        if let Some(number) = self.details.cheque_number {
            node = node.text("ChqNb", number.to_string());
        }
        node
    }
}

fn parties(debtor: &Party, creditor: &Party) -> Node {
    let party = |name, party: &Party| Node::new(name).node(party.named(Node::new("Pty")));
    Node::new("RltdPties")
        .node(party("Dbtr", debtor))
        .node(debtor.account("DbtrAcct"))
        .node(party("Cdtr", creditor))
        .node(creditor.account("CdtrAcct"))
}
