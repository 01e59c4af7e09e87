//! Two banks with cheques, and what drawers, holders and the center do with them.

use feiqian_bank::Config;
use feiqian_cheque::messages::{
    Action, BookRequest, BookResponse, ChequeDeposit, ChequeDepositResponse, ChequeItem, ChequeOutcome,
    ChequeResponse, Document, EndorseRequest, IssueRequest, OrderRequest, RegisterLine, RegisterResponse,
};
use feiqian_cheque::{
    Bundle, Day, Mandate, Order, Payee, PayeeKey, ReturnCode, Signer, State, Trust, VerifiedCheque, draw,
    verify,
};
use feiqian_clearing::finality::{Finality, SettledRequest};
use feiqian_clearing::presentment::{ItemKind, Presented, Presentment, presentment_id};
use feiqian_crypto::Digest;
use feiqian_money::{Amount, Currency};
use feiqian_node::Clock as _;
use feiqian_wire::error::Fault;
use feiqian_wire::{Bounded, Name, Text, Timestamp, U64};

use crate::world::{Holder, NOW, Node, World, digest, minor};

pub(crate) const DAY: u64 = 86_400;

/// Alice of north writes, Bob of south and Carol of west hold.
pub(crate) struct Banks {
    pub(crate) world: World,
    pub(crate) north: Node,
    pub(crate) south: Node,
    pub(crate) west: Node,
    pub(crate) alice: Holder,
    pub(crate) bob: Holder,
    pub(crate) carol: Holder,
}

pub(crate) fn today() -> Day {
    Day::of(Timestamp::new(NOW))
}

pub(crate) fn payee(node: &Node, holder: &Holder) -> Payee {
    let known_by = PayeeKey::Account {
        bank: Name::new(node.name).unwrap(),
        account: Text::new(holder.token.clone()).unwrap(),
    };
    Payee { name: Text::new("the payee").unwrap(), known_by }
}

impl Banks {
    pub(crate) async fn new() -> Self {
        Self::tuned(|_| {}).await
    }

    pub(crate) async fn tuned(tune: fn(&mut Config)) -> Self {
        let world = World::new();
        let north = world.tuned("north", 10, tune).await;
        let south = world.bank("south", 20).await;
        let west = world.bank("west", 30).await;
        world.publish(&[&north, &south, &west]).await;
        let alice = world.customer(&north, "alice", "100.00").await;
        let bob = world.customer(&south, "bob", "0").await;
        let carol = world.customer(&west, "carol12", "0").await;
        world.connect(&south, &north).await;
        world.connect(&west, &north).await;
        // A list is a second older than the next: the enrolments above made several.
        world.at(60);
        let banks = Self { world, north, south, west, alice, bob, carol };
        banks.lists().await;
        banks
    }

    pub(crate) async fn lists(&self) {
        self.world.list(&[&self.north, &self.south, &self.west]).await;
    }

    /// Moves the clock to so many seconds after the start, with new lists.
    pub(crate) async fn at(&self, seconds: u64) {
        self.world.at(seconds);
        self.lists().await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    fn signer<'k>(&self, holder: &'k Holder) -> Signer<'k> {
        let chain = holder.chain.to_chain().unwrap();
        Signer::new(&holder.signing, &chain, &self.world.trusted(), self.now()).unwrap()
    }

    /// Judged as anybody can who has the center's lists.
    pub(crate) fn verified(&self, file: &Document) -> VerifiedCheque {
        let view = self.south.bank.members().snapshot();
        let root = self.world.trusted();
        let trust = Trust::new(&root, view.lists().all(), self.now());
        verify(Bundle::from_bytes(file).unwrap(), &trust).unwrap()
    }

    pub(crate) async fn book(&self, n: u64, leaves: u16) -> Result<BookResponse, Fault> {
        let request = BookRequest { request: digest(n), leaves };
        self.north.ask(Some(&self.alice.peer), "/v1/account/cheque/book", &request).await
    }

    pub(crate) fn order(&self, to: Payee, amount: u64, date: Day, negotiable: bool) -> Order {
        Order {
            bank: Name::new("north").unwrap(),
            mandate: Mandate::single(&Text::new(self.alice.token.clone()).unwrap()).unwrap(),
            payee: to,
            amount: Amount::new(minor(amount), Currency::CNY),
            date,
            memo: Text::new("for the goods").unwrap(),
            negotiable,
            attachments: Vec::new(),
        }
    }

    /// Alice draws on a fresh leaf.
    pub(crate) async fn drawn(&self, n: u64, order: Order, certify: bool) -> IssueRequest {
        let book = self.book(n, 1).await.unwrap().allotment;
        let leaf = book.tear_out(book.first).unwrap();
        let drawn = draw(leaf, order, &self.signer(&self.alice)).unwrap();
        let notice = drawn.notice();
        IssueRequest { cheque: file(&drawn.into_bundle()), notice, certify }
    }

    pub(crate) async fn issue(&self, request: &IssueRequest) -> Result<Document, Fault> {
        let path = "/v1/account/cheque/issue";
        let answer: ChequeResponse = self.north.ask(Some(&self.alice.peer), path, request).await?;
        Ok(answer.cheque)
    }

    /// A countersigned cheque to Bob.
    pub(crate) async fn cheque(&self, n: u64, amount: u64) -> Document {
        self.written(n, amount, today(), false).await
    }

    pub(crate) async fn written(&self, n: u64, amount: u64, date: Day, negotiable: bool) -> Document {
        let order = self.order(payee(&self.south, &self.bob), amount, date, negotiable);
        let request = self.drawn(n, order, false).await;
        self.issue(&request).await.unwrap()
    }

    /// The holder's deposit block for its own bank.
    pub(crate) fn slip(&self, cheque: &Document, bank: &str, holder: &Holder) -> ChequeDeposit {
        let cheque = self.verified(cheque);
        let item = ChequeItem::presented(&cheque.tip());
        let presentment = presentment_id(bank, &holder.token, ItemKind::Cheque, &item);
        let (name, account) = (Name::new(bank).unwrap(), Text::new(holder.token.clone()).unwrap());
        let bundle = cheque.deposit(name, account, presentment, &self.signer(holder), self.now()).unwrap();
        ChequeDeposit { cheque: file(&bundle) }
    }

    pub(crate) async fn deposit(&self, slip: &ChequeDeposit) -> Result<ChequeDepositResponse, Fault> {
        self.south.ask(Some(&self.bob.peer), "/v1/account/cheque/deposit", slip).await
    }

    /// What the center would forward to the drawee.
    pub(crate) fn presented(&self, slip: &ChequeDeposit) -> Presentment<ChequeItem> {
        let cheque = self.verified(&slip.cheque);
        let deposit = cheque.deposit_slip().unwrap().clone();
        let item = ChequeItem { cheque: slip.cheque.clone() };
        let digest = item.digest().unwrap();
        let amount = cheque.cheque().amount;
        Presentment::new(deposit.bank, deposit.account, amount, ItemKind::Cheque, &digest, item)
    }

    pub(crate) async fn present(
        &self,
        presentment: &Presentment<ChequeItem>,
    ) -> Result<ChequeOutcome, Fault> {
        let answer: Presented<ChequeOutcome> =
            self.north.ask(Some(&self.world.center), "/v1/pay/cheque", presentment).await?;
        assert_eq!(answer.id, presentment.id);
        Ok(answer.outcome)
    }

    /// Bob deposits; the code with which it comes back, and the returned file.
    pub(crate) async fn bounced(&self, cheque: &Document) -> (ReturnCode, Document) {
        match self.deposit(&self.slip(cheque, "south", &self.bob)).await.unwrap() {
            ChequeDepositResponse::Final(ChequeOutcome::Returned(code, file)) => (code, file),
            other => panic!("not returned: {other:?}"),
        }
    }

    /// Bob deposits, and it is paid; its presentment.
    pub(crate) async fn collected(&self, cheque: &Document) -> Digest {
        match self.deposit(&self.slip(cheque, "south", &self.bob)).await.unwrap() {
            ChequeDepositResponse::Pending { presentment, paid: true } => presentment,
            other => panic!("not paid: {other:?}"),
        }
    }

    pub(crate) async fn settle(&self, presentment: Digest, settled: bool) {
        for node in [&self.north, &self.south] {
            self.tell(node, presentment, settled).await.unwrap();
        }
    }

    pub(crate) async fn tell(&self, node: &Node, presentment: Digest, settled: bool) -> Result<(), Fault> {
        let items = Bounded::new(vec![Finality { presentment, settled }]).unwrap();
        node.ask(Some(&self.world.center), "/v1/settled", &SettledRequest { cycle: U64(1), items }).await
    }

    pub(crate) async fn order_on(&self, n: u64, number: u64, action: Action) -> Result<RegisterLine, Fault> {
        let request = OrderRequest { order: digest(n), number: U64(number), action, cheque: None };
        self.north.ask(Some(&self.alice.peer), "/v1/account/cheque/order", &request).await
    }

    pub(crate) async fn certify(&self, number: u64) -> Result<Document, Fault> {
        let (order, number) = (digest(number), U64(number));
        let request = OrderRequest { order, number, action: Action::Certify, cheque: None };
        let path = "/v1/account/cheque/certify";
        let answer: ChequeResponse = self.north.ask(Some(&self.alice.peer), path, &request).await?;
        Ok(answer.cheque)
    }

    /// An endorsement to somebody, not yet told to the register.
    pub(crate) fn endorsed(&self, cheque: &Document, holder: &Holder, to: Payee) -> EndorseRequest {
        let bundle = self.verified(cheque).endorse(to, &self.signer(holder), self.now()).unwrap();
        EndorseRequest { cheque: file(&bundle) }
    }

    pub(crate) async fn endorse(&self, by: &Holder, request: &EndorseRequest) -> Result<RegisterLine, Fault> {
        self.north.ask(Some(&by.peer), "/v1/cheque/endorse", request).await
    }

    pub(crate) async fn line(&self, number: u64) -> RegisterLine {
        let list: RegisterResponse =
            self.north.ask(Some(&self.alice.peer), "/v1/account/cheque/list", &()).await.unwrap();
        list.lines.iter().find(|line| line.number == U64(number)).unwrap().clone()
    }

    pub(crate) async fn state(&self, number: u64) -> State {
        self.line(number).await.state
    }

    pub(crate) async fn sound(&self) {
        for node in [&self.north, &self.south, &self.west] {
            node.assert_sound().await;
        }
    }

    pub(crate) async fn balances(&self) -> (String, String) {
        (self.north.balance(&self.alice).await, self.south.balance(&self.bob).await)
    }
}

pub(crate) fn file(bundle: &Bundle) -> Document {
    Document::new(bundle.to_bytes().unwrap()).unwrap()
}
