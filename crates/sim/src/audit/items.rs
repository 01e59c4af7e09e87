//! Each item of clearing at three homes: the center, the bank that presents it and the bank that answers for it.
//!
//! An item counts in a bank's mirror and at the center when it is booked there. What one of them knows the others
//! learn later, in an order that the protocol fixes:
//!
//! * Payments, refunds and transfers: the answering bank books, then the center, then the presenting bank.
//! * Cheques: the drawee pays, the center books the obligation; when that is settled, the center tells both banks,
//!   and keeps what they have confirmed.
//!
//! Everything outside this order is a finding, and nothing outside it excuses a difference between mirror and center.

use feiqian_center::settlement::reserve_id;
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::audit::Finding;

use super::books::{BankBooks, CenterBooks, Item, ItemState, Kind, Side};
use super::conserve::{Compared, World};
use super::offline;

/// Which part a bank has in an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It answers: issues the coins, is the drawee, or receives the transfer.
    Answers,
    /// It presents.
    Presents,
}

impl Part {
    const BOTH: [Self; 2] = [Self::Answers, Self::Presents];

    fn bank(self, item: &Item) -> &str {
        match self {
            Self::Answers => &item.issuing,
            Self::Presents => &item.collecting,
        }
    }

    fn other(self, item: &Item) -> &str {
        match self {
            Self::Answers => &item.collecting,
            Self::Presents => &item.issuing,
        }
    }

    fn side<'a>(self, bank: &'a BankBooks, id: &Digest) -> Option<&'a Side> {
        match self {
            Self::Answers => bank.given.get(id),
            Self::Presents => bank.presentments.get(id),
        }
    }

    /// Whether the bank may have deleted what it knew of the item, which ended long ago.
    fn may_forget(self, item: &Item, bank: &BankBooks) -> bool {
        let is_over = !matches!(item.state, ItemState::Open | ItemState::Paid);
        let is_cash = matches!(item.kind, Kind::Payment | Kind::Refund);
        is_over
            && match self {
                Self::Answers => is_cash && bank.forgotten.has_redeemed(item.received),
                // A transfer stays in the archive, and goes from the outbox.
                Self::Presents => {
                    (is_cash || item.kind == Kind::Transfer) && bank.forgotten.has_presented(item.received)
                }
            }
    }

    /// Whether the bank of this part is paid for an item of this kind.
    fn is_paid(self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Self::Answers, Kind::Refund | Kind::Transfer) | (Self::Presents, Kind::Payment | Kind::Cheque)
        )
    }
}

/// What a bank's row may say while the center says `item`; `told`: the bank has confirmed the item's end.
fn agrees(item: &Item, part: Part, row: Option<ItemState>, told: bool) -> Result<(), (u8, &'static str)> {
    use ItemState::{Booked, Open, Paid, Refused, Unwound};
    let lost = Err((8, "there is nothing of it"));
    let early = Err((5, "it is booked there"));
    let early_pay = Err((4, "it is paid there"));
    let dropped = Err((5, "it is refused there"));
    let late = Err((8, "it has not been booked there, though that was confirmed"));
    match (part, item.kind == Kind::Cheque) {
        (Part::Answers, false) => match (item.state, row) {
            (Open, None | Some(Booked)) | (Booked, Some(Booked)) | (Refused, None) => Ok(()),
            (Booked, _) => lost,
            _ => early,
        },
        (Part::Answers, true) => match (item.state, row) {
            (Open, None | Some(Refused | Paid)) | (Paid, Some(Paid)) => Ok(()),
            (Booked, Some(Paid)) | (Unwound, Some(Paid)) if told => late,
            (Booked, Some(Paid | Booked)) | (Unwound, Some(Paid | Unwound)) => Ok(()),
            (Refused, None | Some(Refused)) => Ok(()),
            (Paid | Booked | Unwound, None) => lost,
            (Paid | Booked | Unwound, Some(Refused)) => dropped,
            (Open | Refused, _) => early_pay,
            (_, Some(Booked)) => early,
            _ => Err((4, "it ended otherwise there")),
        },
        (Part::Presents, is_cheque) => match (item.state, row) {
            (_, None) => lost,
            (Booked | Unwound, Some(Open | Paid)) if told => late,
            (_, Some(Open)) | (Booked, Some(Booked)) | (Unwound | Refused, Some(Refused)) => Ok(()),
            // The center may have been asked again since, after it could not judge the item.
            (Open, Some(Refused)) => Ok(()),
            (Paid | Booked | Unwound, Some(Paid)) if is_cheque => Ok(()),
            (Paid | Booked, Some(Refused)) => dropped,
            (_, Some(Paid)) => early_pay,
            _ => early,
        },
    }
}

fn word(state: ItemState) -> &'static str {
    match state {
        ItemState::Open => "on its way",
        ItemState::Paid => "paid and not settled",
        ItemState::Booked => "settled",
        ItemState::Refused => "refused",
        ItemState::Unwound => "unwound",
    }
}

fn place(id: &Digest, item: &Item) -> String {
    format!("center, presentment {id} ({})", item.kind.as_str())
}

impl CenterBooks {
    fn has_told(&self, id: &Digest, bank: &str) -> bool {
        self.told.contains(&(*id, bank.to_owned()))
    }

    fn judge(&self, id: &Digest, item: &Item, part: Part, bank: &BankBooks) -> Result<(), (u8, String)> {
        let row = part.side(bank, id);
        if row.is_none() && part.may_forget(item, bank) {
            return Ok(());
        }
        let told = self.has_told(id, &bank.name);
        agrees(item, part, row.map(|row| row.state), told).map_err(|(number, what)| {
            let amount = item.amount;
            (number, format!("{} with {amount} at the center, bank {}: {what}", word(item.state), bank.name))
        })?;
        let Some(row) = row else { return Ok(()) };
        if (row.kind, row.amount) != (item.kind, item.amount) {
            let detail = format!(
                "a {} of {} at the center, a {} of {} at bank {}",
                item.kind.as_str(),
                item.amount,
                row.kind.as_str(),
                row.amount,
                bank.name
            );
            return Err((8, detail));
        }
        let other = part.other(item);
        // Refused by the center before it knew the bank that answers: its name is not kept then.
        if row.other.as_deref().is_some_and(|known| known != other && !other.is_empty()) {
            return Err((
                8,
                format!("bank {} says that another bank than {other} has part in it", bank.name),
            ));
        }
        Ok(())
    }

    /// By how much the bank's mirror of its settlement account is ahead of the center's, for items that are on their
    /// way as they may be; minor units, signed.
    pub(super) fn ahead(&self, bank: &BankBooks) -> i128 {
        let mut sum = 0_i128;
        for (id, item) in &self.items {
            for part in Part::BOTH.into_iter().filter(|part| part.bank(item) == bank.name) {
                if self.judge(id, item, part, bank).is_err() {
                    continue;
                }
                let row = part.side(bank, id);
                if row.is_none() && part.may_forget(item, bank) {
                    continue;
                }
                let there = row.is_some_and(|row| row.state == ItemState::Booked);
                let here = item.state == ItemState::Booked;
                let amount = i128::from(item.amount);
                let value = if part.is_paid(item.kind) { amount } else { amount.saturating_neg() };
                sum = match (there, here) {
                    (true, false) => sum.saturating_add(value),
                    (false, true) => sum.saturating_sub(value),
                    _ => sum,
                };
            }
        }
        sum.saturating_add(offline::ahead(&self.offline, &bank.name, &bank.offline))
    }
}

impl World {
    /// Both banks of every item of the center, and the center of every item of a bank.
    pub(super) fn items(&self, center: &CenterBooks, compared: &mut Compared) {
        for (id, item) in &center.items {
            for part in Part::BOTH {
                let Some(bank) = self.bank(part.bank(item)) else { continue };
                if let Err((number, detail)) = center.judge(id, item, part, bank) {
                    compared.findings.push(Finding::new(number, place(id, item), detail));
                }
            }
            self.sequence(id, item, compared);
        }
        for bank in self.banks.iter().filter(|bank| center.settlement.contains_key(&bank.name)) {
            unknown_items(center, bank, compared);
        }
    }

    /// The center's reserves for items that a bank knows and a center does not.
    pub(super) fn forgotten_reserves(&self) -> Vec<Id16> {
        let pairs = self.centers.iter().flat_map(|center| self.banks.iter().map(move |bank| (center, bank)));
        let members = pairs.filter(|(center, bank)| center.settlement.contains_key(&bank.name));
        members.flat_map(|(center, bank)| strangers(center, bank).map(|(id, _)| reserve_id(id))).collect()
    }

    /// A transfer bears the number at which the sending bank has it in its archive.
    fn sequence(&self, id: &Digest, item: &Item, compared: &mut Compared) {
        let (Some(sender), Some(receiver)) = (self.bank(&item.collecting), self.bank(&item.issuing)) else {
            return;
        };
        let (sent, received) = (sender.sent.get(id), receiver.received.get(id));
        if let (Some(sent), Some(received)) = (sent, received)
            && sent.sequence != *received
        {
            let detail = format!("sent as number {}, received as number {received}", sent.sequence);
            compared.findings.push(Finding::new(7, place(id, item), detail));
        }
    }
}

/// What a bank has booked or paid for another bank's customer, and is no item of the center, or is none any more.
fn strangers<'a>(
    center: &'a CenterBooks,
    bank: &'a BankBooks,
) -> impl Iterator<Item = (&'a Digest, &'a Side)> {
    let between_banks = |side: &Side| side.other.as_ref().is_some_and(|other| *other != bank.name);
    let given = bank.given.iter().filter(move |(_, side)| between_banks(side));
    let presented = bank
        .presentments
        .iter()
        .filter(|(_, side)| !matches!(side.state, ItemState::Open | ItemState::Refused));
    given.chain(presented).filter(|(id, _)| !center.items.contains_key(id))
}

/// What a bank has booked or paid for another bank's customer, the center knows, or it has cleared it and forgotten.
fn unknown_items(center: &CenterBooks, bank: &BankBooks, compared: &mut Compared) {
    for (id, side) in strangers(center, bank).filter(|(id, _)| !center.cleared.contains(&reserve_id(id))) {
        let place = format!("bank {}, presentment {id} ({})", bank.name, side.kind.as_str());
        let detail = format!("{} with {} there, unknown to the center", word(side.state), side.amount);
        compared.findings.push(Finding::new(8, place, detail));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "the worlds of these tests have one center and two banks")]

    use super::*;

    const STATES: [ItemState; 5] =
        [ItemState::Open, ItemState::Paid, ItemState::Booked, ItemState::Refused, ItemState::Unwound];

    fn item(kind: Kind, state: ItemState) -> Item {
        Item { kind, collecting: "south".into(), issuing: "north".into(), amount: 700, state, received: 0 }
    }

    fn side(kind: Kind, state: ItemState, other: &str) -> Side {
        Side { kind, account: None, other: Some(other.into()), amount: 700, state }
    }

    /// Center, drawee and collecting bank with one item in these states.
    fn world(kind: Kind, states: (ItemState, Option<ItemState>, Option<ItemState>)) -> World {
        let id = Digest([1; 32]);
        let mut center = CenterBooks::default();
        center.items.insert(id, item(kind, states.0));
        let mut north = BankBooks { name: "north".into(), ..BankBooks::default() };
        let mut south = BankBooks { name: "south".into(), ..BankBooks::default() };
        north.given.extend(states.1.map(|state| (id, side(kind, state, "south"))));
        south.presentments.extend(states.2.map(|state| (id, side(kind, state, "north"))));
        for bank in [&north, &south] {
            center.settlement.insert(bank.name.clone(), 0);
        }
        World { centers: vec![center], banks: vec![north, south], ..World::default() }
    }

    /// The invariants that the items break.
    fn broken(world: &World) -> Vec<u8> {
        let mut compared = Compared::default();
        for center in &world.centers {
            world.items(center, &mut compared);
        }
        compared.findings.iter().map(|finding| finding.invariant).collect()
    }

    #[test]
    fn a_cheque_goes_its_way() {
        use ItemState::{Booked, Open, Paid, Refused, Unwound};
        let way = [
            (Open, None, Some(Open)),
            (Open, Some(Paid), Some(Open)),
            (Paid, Some(Paid), Some(Open)),
            (Paid, Some(Paid), Some(Paid)),
            (Booked, Some(Paid), Some(Paid)),
            (Booked, Some(Booked), Some(Paid)),
            (Booked, Some(Paid), Some(Booked)),
            (Booked, Some(Booked), Some(Booked)),
            (Unwound, Some(Paid), Some(Open)),
            (Unwound, Some(Unwound), Some(Paid)),
            (Unwound, Some(Unwound), Some(Refused)),
            (Open, Some(Refused), Some(Open)),
            (Refused, Some(Refused), Some(Refused)),
            (Refused, None, Some(Refused)),
        ];
        for states in way {
            assert_eq!(broken(&world(Kind::Cheque, states)), Vec::<u8>::new(), "{states:?}");
        }
        // One step off it, at the drawee or at the collecting bank.
        for (states, invariant) in [
            ((Booked, None, Some(Booked)), 8),
            ((Paid, Some(Refused), Some(Paid)), 5),
            ((Paid, Some(Booked), Some(Paid)), 5),
            ((Paid, Some(Paid), Some(Booked)), 5),
            ((Refused, Some(Paid), Some(Refused)), 4),
            ((Refused, None, Some(Paid)), 4),
            ((Unwound, Some(Unwound), Some(Booked)), 5),
            ((Unwound, Some(Booked), Some(Refused)), 5),
            ((Booked, Some(Booked), Some(Refused)), 5),
            ((Booked, Some(Booked), None), 8),
        ] {
            assert_eq!(broken(&world(Kind::Cheque, states)), [invariant], "{states:?}");
        }
    }

    #[test]
    fn a_bank_that_confirmed_an_end_has_booked_it() {
        use ItemState::{Booked, Paid, Unwound};
        for (states, bank) in [
            ((Booked, Some(Paid), Some(Booked)), "north"),
            ((Booked, Some(Booked), Some(Paid)), "south"),
            ((Unwound, Some(Paid), Some(ItemState::Refused)), "north"),
            ((Unwound, Some(Unwound), Some(Paid)), "south"),
        ] {
            let mut world = world(Kind::Cheque, states);
            assert_eq!(broken(&world), Vec::<u8>::new(), "{states:?}");
            world.centers[0].told.insert((Digest([1; 32]), bank.into()));
            assert_eq!(broken(&world), [8], "{states:?}");
        }
    }

    #[test]
    fn other_items_are_booked_by_the_answering_bank_first() {
        use ItemState::{Booked, Open, Refused};
        for kind in [Kind::Payment, Kind::Refund, Kind::Transfer] {
            for states in [
                (Open, None, Some(Open)),
                (Open, Some(Booked), Some(Open)),
                (Booked, Some(Booked), Some(Open)),
                (Booked, Some(Booked), Some(Booked)),
                (Refused, None, Some(Open)),
                (Refused, None, Some(Refused)),
            ] {
                assert_eq!(broken(&world(kind, states)), Vec::<u8>::new(), "{kind:?} {states:?}");
            }
            for (states, invariant) in [
                ((Booked, None, Some(Booked)), 8),
                ((Refused, Some(Booked), Some(Refused)), 5),
                ((Open, None, Some(Booked)), 5),
                ((Booked, Some(Booked), Some(Refused)), 5),
                ((Refused, None, Some(Booked)), 5),
            ] {
                assert_eq!(broken(&world(kind, states)), [invariant], "{kind:?} {states:?}");
            }
        }
    }

    #[test]
    fn the_mirror_is_ahead_or_behind_only_by_what_is_on_its_way() {
        use ItemState::{Booked, Open, Paid};
        let ahead = |kind, states| {
            let world = world(kind, states);
            world.banks.iter().map(|bank| world.centers[0].ahead(bank)).collect::<Vec<_>>()
        };
        assert_eq!(ahead(Kind::Payment, (Open, Some(Booked), Some(Open))), [-700, 0]);
        assert_eq!(ahead(Kind::Payment, (Booked, Some(Booked), Some(Open))), [0, -700]);
        assert_eq!(ahead(Kind::Refund, (Open, Some(Booked), Some(Open))), [700, 0]);
        assert_eq!(ahead(Kind::Refund, (Booked, Some(Booked), Some(Open))), [0, 700]);
        assert_eq!(ahead(Kind::Transfer, (Open, Some(Booked), Some(Open))), [700, 0]);
        assert_eq!(ahead(Kind::Transfer, (Booked, Some(Booked), Some(Open))), [0, 700]);
        assert_eq!(ahead(Kind::Cheque, (Booked, Some(Paid), Some(Paid))), [700, -700]);
        assert_eq!(ahead(Kind::Cheque, (Booked, Some(Booked), Some(Booked))), [0, 0]);
        // What may not be excuses nothing.
        assert_eq!(ahead(Kind::Payment, (Booked, None, Some(Booked))), [0, 0]);
        assert_eq!(ahead(Kind::Cheque, (Paid, Some(Booked), Some(Booked))), [0, 0]);
    }

    #[test]
    fn another_amount_kind_or_bank_is_found() {
        let booked = (ItemState::Booked, Some(ItemState::Booked), Some(ItemState::Booked));
        let spoil: [fn(&mut World); 5] = [
            |world| world.banks[0].given.values_mut().for_each(|side| side.amount ^= 1),
            |world| world.banks[1].presentments.values_mut().for_each(|side| side.amount ^= 1),
            |world| world.banks[1].presentments.values_mut().for_each(|side| side.kind = Kind::Payment),
            |world| world.banks[0].given.values_mut().for_each(|side| side.other = Some("west".into())),
            |world| world.centers[0].items.values_mut().for_each(|item| item.collecting = "west".into()),
        ];
        for (number, spoil) in spoil.into_iter().enumerate() {
            let mut world = world(Kind::Cheque, booked);
            assert_eq!(broken(&world), Vec::<u8>::new());
            spoil(&mut world);
            assert_eq!(broken(&world), [8], "change {number}");
        }
        let mut world = world(Kind::Cheque, booked);
        world.centers[0].items.clear();
        assert_eq!(broken(&world), [8, 8], "neither bank's row is known to the center");
    }

    #[test]
    fn a_transfer_keeps_its_number() {
        use super::super::books::Sent;
        let booked = (ItemState::Booked, Some(ItemState::Booked), Some(ItemState::Booked));
        let mut world = world(Kind::Transfer, booked);
        let id = Digest([1; 32]);
        let sent = Sent { account: "a".into(), amount: 700, booked: Some(true), sequence: 3 };
        world.banks[1].sent.insert(id, sent);
        world.banks[0].received.insert(id, 3);
        assert_eq!(broken(&world), Vec::<u8>::new());
        world.banks[0].received.insert(id, 4);
        assert_eq!(broken(&world), [7]);
    }

    #[test]
    fn only_a_cheque_is_paid_without_being_booked() {
        for state in STATES {
            let paid = agrees(&item(Kind::Payment, state), Part::Presents, Some(ItemState::Paid), false);
            assert!(paid.is_err(), "{state:?}");
        }
    }
}
