//! Transfers.

use feiqian_crypto::{Id16, Transcript};
use feiqian_money::Minor;

use crate::store::{Row, StoreError, Value};

/// How a transfer acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Books the amount at once.
    Posted,
    /// Reserves the amount on both accounts until it is resolved.
    Pending {
        /// From this time on (Unix seconds) it can no longer be posted, and [`super::expire_due`] releases it.
        expires: Option<u64>,
    },
    /// Books all or part of a pending transfer and releases the rest.
    Post {
        /// The pending transfer.
        pending: Id16,
    },
    /// Releases a pending transfer. The amount is that of the pending transfer.
    Void {
        /// The pending transfer.
        pending: Id16,
    },
    /// Releases a pending transfer whose time is over. The amount is that of the pending transfer.
    Expire {
        /// The pending transfer.
        pending: Id16,
    },
}

impl Kind {
    /// The number in the database and in the journal: 0 to 4 in the order of the variants.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Posted => 0,
            Self::Pending { .. } => 1,
            Self::Post { .. } => 2,
            Self::Void { .. } => 3,
            Self::Expire { .. } => 4,
        }
    }

    /// The pending transfer this one resolves.
    #[must_use]
    pub const fn resolves(self) -> Option<Id16> {
        match self {
            Self::Posted | Self::Pending { .. } => None,
            Self::Post { pending } | Self::Void { pending } | Self::Expire { pending } => Some(pending),
        }
    }

    /// When a pending transfer expires.
    #[must_use]
    pub const fn expires(self) -> Option<u64> {
        match self {
            Self::Pending { expires } => expires,
            _ => None,
        }
    }

    pub(crate) fn from_parts(number: u8, expires: Option<u64>, pending: Option<Id16>) -> Option<Self> {
        match (number, expires, pending) {
            (0, None, None) => Some(Self::Posted),
            (1, expires, None) => Some(Self::Pending { expires }),
            (2, None, Some(pending)) => Some(Self::Post { pending }),
            (3, None, Some(pending)) => Some(Self::Void { pending }),
            (4, None, Some(pending)) => Some(Self::Expire { pending }),
            _ => None,
        }
    }
}

/// An amount moved from a debit to a credit account. Once booked it never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Its id, made by the caller. It acts once.
    pub id: Id16,
    /// The account debited.
    pub debit: Id16,
    /// The account credited, in the same currency.
    pub credit: Id16,
    /// The amount, above zero.
    pub amount: Minor,
    /// What the transfer is for, in the caller's words. A resolution may have another code than its pending transfer.
    pub code: u16,
    /// How it acts.
    pub kind: Kind,
}

impl Transfer {
    /// A transfer that books at once.
    #[must_use]
    pub const fn posted(id: Id16, debit: Id16, credit: Id16, amount: Minor, code: u16) -> Self {
        Self { id, debit, credit, amount, code, kind: Kind::Posted }
    }

    /// A transfer that reserves, until `expires` (Unix seconds) if given.
    #[must_use]
    pub const fn pending(
        id: Id16,
        debit: Id16,
        credit: Id16,
        amount: Minor,
        code: u16,
        expires: Option<u64>,
    ) -> Self {
        Self { id, debit, credit, amount, code, kind: Kind::Pending { expires } }
    }

    /// The transfer that posts `amount` of this pending one.
    #[must_use]
    pub const fn post(&self, id: Id16, amount: Minor) -> Self {
        Self {
            id,
            debit: self.debit,
            credit: self.credit,
            amount,
            code: self.code,
            kind: Kind::Post { pending: self.id },
        }
    }

    /// The transfer that voids this pending one.
    #[must_use]
    pub const fn void(&self, id: Id16) -> Self {
        let kind = Kind::Void { pending: self.id };
        Self { id, debit: self.debit, credit: self.credit, amount: self.amount, code: self.code, kind }
    }

    /// The transfer that expires this pending one. Its id follows from the pending id: `D("ledger/expire"; pending)`, first 16 bytes.
    #[must_use]
    pub fn expire(&self) -> Self {
        let id = Id16::from_digest(&Transcript::new("ledger/expire").id(&self.id).into_digest());
        let kind = Kind::Expire { pending: self.id };
        Self { id, debit: self.debit, credit: self.credit, amount: self.amount, code: self.code, kind }
    }

    /// The first field in which two transfers with the same id differ.
    pub(crate) fn difference(&self, other: &Self) -> Option<&'static str> {
        let fields = [
            ("debit account", self.debit != other.debit),
            ("credit account", self.credit != other.credit),
            ("amount", self.amount != other.amount),
            ("code", self.code != other.code),
            ("kind", self.kind.number() != other.kind.number()),
            ("expiry", self.kind.expires() != other.kind.expires()),
            ("pending transfer", self.kind.resolves() != other.kind.resolves()),
        ];
        fields.into_iter().find(|(_, differs)| *differs).map(|(field, _)| field)
    }

    pub(crate) fn values(&self, booked: u64, seq: u64) -> Result<[Value; 10], StoreError> {
        Ok([
            self.id.into(),
            self.debit.into(),
            self.credit.into(),
            self.amount.into(),
            self.code.into(),
            self.kind.number().into(),
            self.kind.expires().map_or(Ok(Value::Null), Value::unsigned)?,
            self.kind.resolves().into(),
            Value::unsigned(booked)?,
            Value::unsigned(seq)?,
        ])
    }

    /// The transfer in a row of its table; behind it stand the time of booking and the journal's number.
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let kind = Kind::from_parts(row.small(5)?, row.optional_unsigned(6)?, row.optional_id(7)?);
        Ok(Self {
            id: row.id(0)?,
            debit: row.id(1)?,
            credit: row.id(2)?,
            amount: row.minor(3)?,
            code: row.small(4)?,
            kind: kind.ok_or_else(|| StoreError::Corrupt("unknown kind of a transfer".to_owned()))?,
        })
    }
}
