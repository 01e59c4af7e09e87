//! Cheques: presentment (`camt.107`), stop request (`camt.108`) and the report on it (`camt.109`).

use feiqian_crypto::Digest;
use feiqian_money::{Amount, Currency};
use feiqian_wire::Timestamp;

use super::identity::agent;
use super::value::{date_time, decimal, total};
use super::xml::{LINE, Node};
use super::{CAMT_107, CAMT_108, CAMT_109, CalendarDay, ExportError, Party, Reference, ReturnReason};

/// What these messages say of a cheque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cheque {
    /// Its id.
    pub id: Digest,
    /// Its number in the drawer's book.
    pub number: u64,
    /// Its date.
    pub date: CalendarDay,
    /// How much.
    pub amount: Amount,
    /// Who pays, and at which bank it is drawn.
    pub drawer: Party,
    /// Who holds it.
    pub payee: Party,
}

impl Cheque {
    /// The elements a stop request and the report on it begin with.
    fn stopped(&self, request: Option<&Reference>) -> Result<Node, ExportError> {
        let mut node = Node::new("Chq");
        if let Some(request) = request {
            node = node.text("InstrId", request);
        }
        Ok(node
            .text("OrgnlInstrId", &Reference::of(&self.id))
            .text("ChqNb", self.number.to_string())
            .text("IsseDt", self.date.to_string())
            .amount("Amt", self.amount)?
            .node(agent("DrwrAgt", &self.drawer.bank))
            .node(self.payee.named(Node::new("Pyee")))
            .node(self.payee.account("PyeeAcct")))
    }

    fn presented(&self, value: CalendarDay) -> Result<Node, ExportError> {
        Ok(Node::new("Chq")
            .text("InstrId", &Reference::of(&self.id))
            .text("ChqNb", self.number.to_string())
            .text("IsseDt", self.date.to_string())
            .amount("Amt", self.amount)?
            .node(Node::new("ValDt").text("Dt", value.to_string()))
            .node(self.drawer.named(Node::new("Pyer")))
            .node(self.drawer.account("PyerAcct"))
            .node(agent("DrwrAgt", &self.drawer.bank))
            .node(self.payee.named(Node::new("Pyee")))
            .node(self.payee.account("PyeeAcct")))
    }
}

/// Cheques of one currency that a collecting bank presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChequePresentments {
    /// Name of the message.
    pub id: Reference,
    /// When it was made.
    pub created: Timestamp,
    /// The day for which they are presented.
    pub value: CalendarDay,
    /// Their currency.
    pub currency: Currency,
    /// The cheques, at least one.
    pub cheques: Vec<Cheque>,
}

impl ChequePresentments {
    /// The presentments as a `camt.107` document.
    ///
    /// # Errors
    /// [`ExportError`]: none, another currency, or a number or time that does not fit.
    pub fn to_xml(&self) -> Result<String, ExportError> {
        let amounts = self.cheques.iter().map(|cheque| cheque.amount);
        let header = header(&self.id, self.created, self.currency, amounts)?;
        let cheques: Vec<Node> =
            self.cheques.iter().map(|cheque| cheque.presented(self.value)).collect::<Result<_, _>>()?;
        Ok(Node::new("ChqPresntmntNtfctn").node(header).nodes(cheques).into_document(CAMT_107))
    }
}

/// Why a cheque is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopReason {
    /// The customer asks, without saying why.
    Customer,
    /// It was written twice.
    Duplicate,
    /// Fraud.
    Fraud,
    /// It was lost.
    Lost,
}

impl StopReason {
    /// The external code; the same four letters an order to stop carries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "CUST",
            Self::Duplicate => "DUPL",
            Self::Fraud => "FRAD",
            Self::Lost => "LOST",
        }
    }
}

/// Who asks for the stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartyRole {
    /// The drawer of the cheque.
    Drawer,
    /// The bank it is drawn on.
    Drawee,
    /// The holder.
    Payee,
}

impl PartyRole {
    /// `ChequePartyRole1Code`; its `PAYR` and `DWRA` differ only where a bank draws for its customer.
    fn code(self) -> &'static str {
        match self {
            Self::Drawer => "PAYR",
            Self::Drawee => "DWEA",
            Self::Payee => "PAYE",
        }
    }
}

/// One cheque that is to be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopRequest {
    /// Name of the request.
    pub id: Reference,
    /// The cheque.
    pub cheque: Cheque,
    /// Why.
    pub reason: StopReason,
    /// Who asks.
    pub originator: PartyRole,
    /// What he wrote about it, cut to 140 characters; may be empty.
    pub note: String,
}

/// Requests to stop cheques of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopRequests {
    /// Name of the message.
    pub id: Reference,
    /// When it was made.
    pub created: Timestamp,
    /// Their currency.
    pub currency: Currency,
    /// The requests, at least one.
    pub requests: Vec<StopRequest>,
}

impl StopRequests {
    /// The requests as a `camt.108` document.
    ///
    /// # Errors
    /// [`ExportError`]: none, another currency, or a number or time that does not fit.
    pub fn to_xml(&self) -> Result<String, ExportError> {
        let amounts = self.requests.iter().map(|request| request.cheque.amount);
        let header = header(&self.id, self.created, self.currency, amounts)?;
        let cheques: Vec<Node> = self.requests.iter().map(StopRequest::node).collect::<Result<_, _>>()?;
        Ok(Node::new("ChqCxlOrStopReq").node(header).nodes(cheques).into_document(CAMT_108))
    }
}

impl StopRequest {
    fn node(&self) -> Result<Node, ExportError> {
        let reason = Node::new("ChqCxlOrStopRsn")
            .text("Orgtr", self.originator.code())
            .node(Node::new("Rsn").text("Cd", self.reason.as_str()))
            .words("AddtlInf", &self.note, LINE);
        Ok(self.cheque.stopped(Some(&self.id))?.node(reason))
    }
}

/// What became of a stop request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopOutcome {
    /// The cheque is stopped.
    Accepted,
    /// It is not, for this reason (such as: already paid).
    Refused(ReturnReason),
}

/// The outcome of one stop request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReport {
    /// The request answered.
    pub request: Reference,
    /// The cheque.
    pub cheque: Cheque,
    /// Who had asked.
    pub originator: PartyRole,
    /// What became of it.
    pub outcome: StopOutcome,
}

/// Outcomes of requests to stop cheques of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReports {
    /// Name of the message.
    pub id: Reference,
    /// When it was made.
    pub created: Timestamp,
    /// Their currency.
    pub currency: Currency,
    /// The outcomes, at least one.
    pub reports: Vec<StopReport>,
}

impl StopReports {
    /// The outcomes as a `camt.109` document.
    ///
    /// # Errors
    /// [`ExportError`]: none, another currency, or a number or time that does not fit.
    pub fn to_xml(&self) -> Result<String, ExportError> {
        let amounts = self.reports.iter().map(|report| report.cheque.amount);
        let header = header(&self.id, self.created, self.currency, amounts)?;
        let cheques: Vec<Node> = self.reports.iter().map(StopReport::node).collect::<Result<_, _>>()?;
        Ok(Node::new("ChqCxlOrStopRpt").node(header).nodes(cheques).into_document(CAMT_109))
    }
}

impl StopReport {
    fn node(&self) -> Result<Node, ExportError> {
        let (code, explanation) = match &self.outcome {
            StopOutcome::Accepted => ("ACCR", String::new()),
            StopOutcome::Refused(reason) => ("RJCR", reason.explanation()),
        };
        let status = Node::new("ChqCxlOrStopSts")
            .text("Orgtr", self.originator.code())
            .node(Node::new("Sts").text("Cd", code))
            .words("AddtlInf", &explanation, LINE);
        Ok(self.cheque.stopped(Some(&self.request))?.node(status))
    }
}

/// `GrpHdr` of the three messages.
fn header(
    id: &Reference,
    created: Timestamp,
    currency: Currency,
    amounts: impl ExactSizeIterator<Item = Amount>,
) -> Result<Node, ExportError> {
    let count = amounts.len();
    if count == 0 {
        return Err(ExportError::Empty);
    }
    let sum = total(amounts, currency)?;
    Ok(Node::new("GrpHdr")
        .text("MsgId", id)
        .text("CreDtTm", date_time(created)?)
        .text("NbOfChqs", count.to_string())
        .text("CtrlSum", decimal(sum, currency)?))
}
