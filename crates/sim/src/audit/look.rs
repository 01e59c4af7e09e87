//! A look at all stores: each role's own audit, and then the books of all nodes, a slice at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use feiqian_crypto::Id16;
use feiqian_ledger::audit::{Finding, check_book, check_rows};
use feiqian_ledger::store::{StoreError, Table, Tx};
use feiqian_node::{Entropy as _, StreamEntropy};
use serde_json::json;

use super::books::{BankBooks, CenterBooks, MerchantBooks, WalletBooks};
use super::conserve::{self, Compared, Comparison};
use super::slice::Slice;
use super::{Depth, Verdict};
use crate::machine::{self, on_account};
use crate::world::World;
use crate::world::fabric::NodeId;

/// Looks at everything, at one instant. The stores have nothing in common, so several threads look at several of them;
/// what is found stands in the order of the nodes.
///
/// However many payments there were, only a slice of the books is in memory at a time. Nothing else happens in the world
/// meanwhile, so all slices are of the same instant.
pub async fn look(world: &World, depth: Depth) -> Verdict {
    let look = Look { world, depth };
    let places = look.places().await;
    on_account("auditor", || look.judge(&places, look.slices()))
}

type Found = Result<Vec<Finding>, StoreError>;

/// A node of the world, by its number; a wallet with the key of its store, where its rows are looked at.
enum Place {
    Center,
    Bank(usize),
    Merchant(usize),
    Wallet(usize, Option<Arc<feiqian_wallet::StoreKey>>),
}

/// A slice of the books of one node.
enum Books {
    Center(CenterBooks),
    Bank(Box<BankBooks>),
    Merchant(MerchantBooks),
    Wallet(WalletBooks),
    /// Of a wallet whose holder keeps coins elsewhere too. Without its books the world is not closed, and only coins that
    /// are missing count, not coins elsewhere.
    Hidden,
}

impl conserve::World {
    fn take(&mut self, books: Books) {
        match books {
            Books::Center(books) => self.centers.push(books),
            Books::Bank(books) => self.banks.push(*books),
            Books::Merchant(books) => self.merchants.push(books),
            Books::Wallet(books) => self.wallets.push(books),
            Books::Hidden => {}
        }
    }
}

/// Places that cannot be read, by their number among all places, and why.
type Unreadable = BTreeMap<usize, StoreError>;

struct Look<'a> {
    world: &'a World,
    depth: Depth,
}

impl Look<'_> {
    async fn places(&self) -> Vec<Place> {
        let mut places = vec![Place::Center];
        places.extend((0..self.world.banks().len()).map(Place::Bank));
        places.extend((0..self.world.merchants().len()).map(Place::Merchant));
        for (number, wallet) in self.world.wallets().iter().enumerate() {
            let key = if self.depth == Depth::Rows { self.world.store_key(*wallet).await } else { None };
            places.push(Place::Wallet(number, key.map(Arc::new)));
        }
        places
    }

    fn node(&self, place: &Place) -> Option<NodeId> {
        match place {
            Place::Center => Some(self.world.center()),
            Place::Bank(number) => self.world.banks().get(*number).copied(),
            Place::Merchant(number) => self.world.merchants().get(*number).copied(),
            Place::Wallet(number, _) => self.world.wallets().get(*number).copied(),
        }
    }

    /// How many slices keep each small.
    fn slices(&self) -> u16 {
        let count = |bank: &NodeId| {
            let read = |tx: &mut dyn Tx| {
                let rows = tx.select("SELECT count(*) FROM coin", &[])?;
                rows.first().map_or(Ok(0), |row| row.unsigned(0))
            };
            // What cannot be counted cannot be read either, and is found then.
            self.world.read_now(*bank, read).unwrap_or(0)
        };
        Slice::count(self.world.banks().iter().map(count).fold(0, u64::saturating_add))
    }

    fn judge(&self, places: &[Place], slices: u16) -> Verdict {
        let own = machine::side_by_side(places, |place| self.own(place));
        let (compared, unreadable) = self.compare(places, slices);
        let mut findings = Vec::new();
        for (number, (place, own)) in places.iter().zip(own).enumerate() {
            let Some(node) = self.node(place) else { continue };
            let name = self.world.fabric().name(node);
            let unread = unreadable.get(&number).map(|error| Finding::new(7, "store", error.to_string()));
            findings.extend(unread.into_iter().chain(own).map(|finding| (name.to_string(), finding)));
        }
        findings.extend(compared.findings.into_iter().map(|finding| ("all nodes".to_owned(), finding)));
        let sums = json!({
            "circulation": compared.circulation,
            "settlement": compared.settlement,
            "closed_world": compared.closed,
        });
        let event = self.world.fabric().log().count();
        Verdict { event, seconds: self.world.fabric().elapsed().as_secs(), findings, sums }
    }

    /// Compares the books of all nodes that can be read. A node that cannot be read to its end has no part in it: what it
    /// has in the slices before does not count either.
    fn compare(&self, places: &[Place], slices: u16) -> (Compared, Unreadable) {
        let mut unreadable = Unreadable::new();
        'anew: loop {
            let mut comparison = Comparison::default();
            for slice in Slice::of(slices) {
                let known = unreadable.len();
                let books = self.read(places, slice, &mut unreadable);
                if unreadable.len() > known && !slice.is_first() {
                    continue 'anew;
                }
                comparison.add(&books);
            }
            return (comparison.finish(), unreadable);
        }
    }

    /// A slice of the books of all nodes that can be read.
    fn read(&self, places: &[Place], slice: Slice, unreadable: &mut Unreadable) -> conserve::World {
        let readable: Vec<(usize, &Place)> =
            places.iter().enumerate().filter(|(number, _)| !unreadable.contains_key(number)).collect();
        let read = machine::side_by_side(&readable, |(_, place)| self.books(place, slice));
        let mut world = conserve::World::default();
        for ((number, _), books) in readable.iter().zip(read) {
            match books {
                Ok(books) => world.take(books),
                Err(error) => drop(unreadable.insert(*number, error)),
            }
        }
        if let Err(error) = self.recall(&mut world) {
            world.centers.clear();
            let center = places.iter().position(|place| matches!(place, Place::Center));
            unreadable.extend(center.map(|number| (number, error)));
        }
        world
    }

    /// Has the center say what it has cleared of the items that it does not know any more.
    fn recall(&self, world: &mut conserve::World) -> Result<(), StoreError> {
        let wanted: Vec<Id16> = world.forgotten_reserves();
        if !wanted.is_empty() {
            let read = move |tx: &mut dyn Tx| CenterBooks::cleared(tx, &wanted);
            let cleared = self.world.read_now(self.world.center(), read)?;
            world.centers.iter_mut().for_each(|center| center.cleared.clone_from(&cleared));
        }
        Ok(())
    }

    /// A slice of a node's books.
    fn books(&self, place: &Place, slice: Slice) -> Result<Books, StoreError> {
        let books = match place {
            Place::Center => self
                .world
                .read_now(self.world.center(), move |tx: &mut dyn Tx| CenterBooks::read_slice(tx, slice))
                .map(Books::Center),
            Place::Bank(number) => self.bank(*number, slice),
            Place::Merchant(number) => self.merchant(*number, slice),
            Place::Wallet(number, _) => self.wallet(*number, slice),
        };
        if let Some(node) = self.node(place).filter(|node| self.is_to_cool(place, *node, slice)) {
            self.world.cool(node);
        }
        books
    }

    /// Whether a node gives back what makes it fast after a slice. One that was busy keeps it from look to look, but not
    /// what only the audit of all its rows has any use for.
    fn is_to_cool(&self, place: &Place, node: NodeId, slice: Slice) -> bool {
        let is_over = self.depth == Depth::Rows && slice.is_last();
        match place {
            Place::Center | Place::Bank(_) => false,
            Place::Merchant(_) => is_over,
            Place::Wallet(..) => is_over || !self.world.is_warm(node),
        }
    }

    fn bank(&self, number: usize, slice: Slice) -> Result<Books, StoreError> {
        let (node, name, _) = self.world.bank_details(number).ok_or(StoreError::Closed)?;
        let currency = self.world.scenario().currency.code();
        let read = move |tx: &mut dyn Tx| BankBooks::read(tx, &name, currency, slice);
        self.world.read_now(node, read).map(|books| Books::Bank(Box::new(books)))
    }

    fn merchant(&self, number: usize, slice: Slice) -> Result<Books, StoreError> {
        let (node, config) = self.world.merchant_details(number).ok_or(StoreError::Closed)?;
        let config = config.clone();
        let read = move |tx: &mut dyn Tx| MerchantBooks::read(tx, &config, slice);
        self.world.read_now(node, read).map(Books::Merchant)
    }

    fn wallet(&self, number: usize, slice: Slice) -> Result<Books, StoreError> {
        let (node, config) = self.world.wallet_details(number).ok_or(StoreError::Closed)?;
        let config = config.clone();
        let books =
            self.world.read_now(node, move |tx: &mut dyn Tx| WalletBooks::read(tx, &config, slice))?;
        Ok(if self.world.is_hiding(number) { Books::Hidden } else { Books::Wallet(books) })
    }

    /// The audit of a node by itself.
    fn own(&self, place: &Place) -> Vec<Finding> {
        match place {
            Place::Center => self.own_of_center(),
            Place::Bank(number) => self.own_of_bank(*number).unwrap_or_default(),
            Place::Merchant(_) | Place::Wallet(..) if self.depth == Depth::Books => Vec::new(),
            Place::Merchant(_) => {
                let audit = |tx: &mut dyn Tx| Ok(feiqian_merchant::audit::check(tx)?.findings);
                self.audited(place, feiqian_merchant::TABLES, audit)
            }
            Place::Wallet(_, key) => {
                let key = key.clone();
                let audit = move |tx: &mut dyn Tx| match feiqian_wallet::audit::audit(tx, key.as_deref()) {
                    Ok(audit) => Ok(audit.findings),
                    Err(fault) => Err(StoreError::Corrupt(fault.message.to_string())),
                };
                self.audited(place, feiqian_wallet::tables::TABLES, audit)
            }
        }
    }

    fn own_of_center(&self) -> Vec<Finding> {
        let depth = self.depth;
        self.audited(&Place::Center, feiqian_center::TABLES, move |tx: &mut dyn Tx| {
            let mut findings = check_book(tx)?.findings;
            if depth == Depth::Rows {
                findings.extend(feiqian_center::audit::check(tx)?.findings);
            }
            Ok(findings)
        })
    }

    fn own_of_bank(&self, number: usize) -> Option<Vec<Finding>> {
        let (_, bank, signer) = self.world.bank_details(number)?;
        let (depth, seed) = (self.depth, self.world.scenario().seed);
        let audited = feiqian_bank::audit::Audited { bank, signer };
        let audit = move |tx: &mut dyn Tx| {
            if depth == Depth::Books {
                return Ok(check_book(tx)?.findings);
            }
            let mut weights = StreamEntropy::new(seed, "audit").rng();
            let audit = feiqian_bank::audit::audit(tx, &audited, &mut weights)?;
            Ok(audit.findings.into_iter().chain(audit.book.findings).collect())
        };
        Some(self.audited(&Place::Bank(number), feiqian_bank::tables::TABLES, audit))
    }

    /// Runs a role's own audit; rows too damaged to be understood are named by the checks of all rows. A wallet or merchant
    /// then gives back the statements of the audit.
    fn audited(
        &self,
        place: &Place,
        tables: &'static [&'static Table],
        mut audit: impl FnMut(&mut dyn Tx) -> Found + Send + 'static,
    ) -> Vec<Finding> {
        let Some(node) = self.node(place) else { return Vec::new() };
        let found = self.world.read_now(node, move |tx: &mut dyn Tx| match audit(tx) {
            Err(error) => {
                let mut findings = check_rows(tx, tables)?;
                findings.push(Finding::new(7, "store", error.to_string()));
                Ok(findings)
            }
            found => found,
        });
        if matches!(place, Place::Merchant(_) | Place::Wallet(..)) {
            self.world.cool(node);
        }
        found.unwrap_or_else(|error| vec![Finding::new(7, "store", error.to_string())])
    }
}

#[cfg(test)]
mod tests;
