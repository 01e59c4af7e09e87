//! The offline chapter: center and banks are killed, people go on paying, one of them twice; then the banks come back,
//! everything is deposited, and whoever spent twice is named and charged.

use std::time::Instant;

use feiqian_wire::error::Fault;
use serde_json::Value;

use super::cheques::shown;
use super::story::{LOOK_AGAIN, PATIENCE, Story, Told, copy};
use super::world::{broken, text_of};
use crate::output::at;

/// Who issues, routes and settles.
const BANKS: [(&str, &str); 3] = [("center", "center"), ("bank", "north"), ("bank", "south")];

/// A message in a file: its size, and the answer that came with it.
struct Message {
    bytes: u64,
    answer: Value,
}

impl Story {
    /// Tells the chapter: Alice, Bob and Carol again, and a stall that nobody has met yet.
    pub(super) async fn tell_of_offline_cash(&mut self) -> Told {
        self.withdraw_offline().await?;
        self.kill_the_banks().await?;
        self.pay_offline().await?;
        self.give_bob().await?;
        self.divide_and_give_carol().await?;
        self.cheat().await?;
        self.bring_the_banks_back().await?;
        self.name_the_cheat().await?;
        self.audit_offline().await
    }

    async fn withdraw_offline(&mut self) -> Told {
        self.begin(
            "Alice withdraws 20.00 as offline coins; Bob and Carol get blanks, a stall opens at south",
        );
        self.retried(&["wallet", "withdraw", "--offline", "--home", "@alice", "20.00"]).await?;
        self.account("@north", "alice", "40.00").await?;
        for person in ["bob", "carol"] {
            self.retried(&["wallet", "blanks", "--home", &format!("@{person}"), "8"]).await?;
        }
        let (url, code) = (self.address("south")?, self.enrol("@south", "stall", "merchant").await?);
        let init =
            ["merchant", "init", "--home", "@stall", "--name", "stall", "--bank", &url, "--code", &code];
        self.ok(&init).await?;
        self.start("merchant", "stall").await?;
        for till in ["shop", "stall"] {
            self.knows_keys(till).await?;
        }
        let coins = self.offline_of("alice").await?;
        self.note(format!("20.00 in {} coins, which pay where nobody has a connection", at(&coins, "coins")));
        self.done()
    }

    /// A merchant looks around when it starts, and then every minute: it is started again when it has not seen the keys
    /// of both banks.
    async fn knows_keys(&mut self, till: &str) -> Told {
        let home = format!("@{till}");
        let begun = Instant::now();
        loop {
            let status = self.ok(&["merchant", "status", "--home", &home]).await?;
            let known = at(&status, "offline_keysets").as_u64().unwrap_or_default();
            if known >= 2 && at(&status, "exposed_at").as_u64() != Some(0) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(broken(format!("{till} knows {known} offline keysets")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            self.kill(till).await?;
            self.start("merchant", till).await?;
        }
    }

    /// Runs it again while the keys are not pinned yet.
    async fn retried(&mut self, arguments: &[&str]) -> Told {
        let begun = Instant::now();
        loop {
            match self.command(arguments).await? {
                Ok(_) => return Ok(()),
                Err((code, _))
                    if ["UNAVAILABLE", "KEYSET_NOT_PINNED"].contains(&code.as_str())
                        && begun.elapsed() < PATIENCE =>
                {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err((code, message)) => return Err(broken(format!("{arguments:?}: {code}: {message}"))),
            }
        }
    }

    async fn kill_the_banks(&mut self) -> Told {
        self.begin("The center and both banks are killed; Alice keeps a copy of her wallet");
        for (_, name) in BANKS {
            let url = self.address(name)?;
            let address = url.trim_start_matches("https://").split('#').next().unwrap_or_default().to_owned();
            self.kill(name).await?;
            if tokio::net::TcpStream::connect(&address).await.is_ok() {
                return Err(broken(format!("somebody still listens at {address}")));
            }
            self.note(format!("{name} is dead: nobody listens at {address}"));
        }
        self.refused(&["wallet", "offline", "restore", "--home", "@carol"], "UNAVAILABLE").await?;
        self.note("a wallet that asks for its bank is told UNAVAILABLE");
        copy(&self.folder("alice"), &self.folder("alias"))
            .map_err(|error| broken(format!("cannot copy the home: {error}")))?;
        self.done()
    }

    async fn pay_offline(&mut self) -> Told {
        self.begin("She pays the shop 5.00, file against file");
        let note = self.pays("alice", "shop", "5.00", "B-1").await?;
        self.note(note);
        self.deposits_wait("shop").await?;
        self.done()
    }

    /// Pays a till by files; says how large they were.
    async fn pays(&mut self, payer: &str, till: &str, amount: &str, order: &str) -> Result<String, Fault> {
        let (home, till) = (format!("@{payer}"), format!("@{till}"));
        let (request, payment) = (format!("@{order}-request.fq"), format!("@{order}-payment.fq"));
        let ask = ["merchant", "request", "--offline", "--home", &till, "--amount", amount, "--order", order];
        let asked = self.message(&[&ask[..], &["--out", &request]].concat()).await?;
        let pay = ["wallet", "pay", "--offline", "--home", &home, &request, "--out", &payment];
        let begun = Instant::now();
        let paid = self.message(&pay).await?;
        self.same("the payment", &text_of(&paid.answer, "outcome"), "given")?;
        let taken = self.ok(&["merchant", "accept", "--home", &till, &payment]).await?;
        self.same("the payment at the till", &text_of(&taken, "outcome"), "accepted")?;
        self.same("its state", &text_of(&taken, "state"), "queued")?;
        Ok(format!(
            "request of {} bytes, payment of {} bytes in {} pieces; paid and checked in {} ms",
            asked.bytes,
            paid.bytes,
            at(&paid.answer, "pieces"),
            begun.elapsed().as_millis(),
        ))
    }

    async fn message(&mut self, arguments: &[&str]) -> Result<Message, Fault> {
        let answer = self.ok(arguments).await?;
        let bytes = at(&answer, "bytes").as_u64();
        let bytes = bytes.ok_or_else(|| broken(format!("no size in {answer}")))?;
        Ok(Message { bytes, answer })
    }

    /// The till tries its bank, in vain.
    async fn deposits_wait(&mut self, till: &str) -> Told {
        let queue = self.ok(&["merchant", "deposit-queue", "--home", &format!("@{till}")]).await?;
        self.same("what the till could deposit", &shown(&queue, "finished"), "0")?;
        let queued = at(&queue, "queued").as_u64().unwrap_or_default();
        if queued == 0 || text_of(&queue, "waiting").is_empty() {
            return Err(broken(format!("a deposit does not wait for the bank: {queue}")));
        }
        self.note(format!("in the till's queue: {queued}, its bank is not there"));
        Ok(())
    }

    async fn give_bob(&mut self) -> Told {
        self.begin("She gives Bob 8.00 from hand to hand; both screens show the same code");
        let note = self.gives("alice", "bob", "8.00").await?;
        self.note(note);
        self.holds_offline("bob", "8.00").await?;
        self.done()
    }

    /// The whole exchange by files; says what was carried.
    async fn gives(&mut self, payer: &str, payee: &str, amount: &str) -> Result<String, Fault> {
        let (from, to) = (format!("@{payer}"), format!("@{payee}"));
        let file = |end: &str| format!("@{payee}-{end}.fq");
        let [offer, answer, opened, transfer] = ["offer", "answer", "opened", "transfer"].map(file);
        self.message(&["wallet", "offline", "offer", "--home", &to, amount, "--out", &offer]).await?;
        self.message(&["wallet", "offline", "answer", "--home", &from, &offer, "--out", &answer]).await?;
        let accept = ["wallet", "offline", "accept", "--home", &to, &answer, "--out", &opened];
        let theirs = text_of(&self.message(&accept).await?.answer, "code");
        let pass = ["wallet", "transfer-coin", "--home", &from, "--to", &opened];
        let own = text_of(&self.ok(&pass).await?, "code");
        self.same("the code on the payer's screen", &own, &theirs)?;
        let given = self.message(&[&pass[..], &["--code", &theirs, "--out", &transfer]].concat()).await?;
        let taken = self.ok(&["wallet", "accept", "--home", &to, &transfer]).await?;
        self.same("what was taken", &text_of(&taken, "amount"), amount)?;
        let (bytes, pieces) = (given.bytes, at(&given.answer, "pieces").clone());
        Ok(format!("code {own}; a transfer of {bytes} bytes in {pieces} pieces"))
    }

    async fn divide_and_give_carol(&mut self) -> Told {
        self.begin("Bob divides it and gives Carol 3.00; she pays the shop 2.00 with that");
        let note = self.gives("bob", "carol", "3.00").await?;
        self.note(note);
        self.holds_offline("bob", "5.00").await?;
        let note = self.pays("carol", "shop", "2.00", "B-2").await?;
        self.note(note);
        self.holds_offline("carol", "1.00").await?;
        self.note("bob 5.00, carol 1.00; the shop has seen neither of them");
        self.done()
    }

    async fn cheat(&mut self) -> Told {
        self.begin("Alice's copy of before pays the stall 20.00: what she gave away already, once more");
        let note = self.pays("alias", "stall", "20.00", "C-1").await?;
        self.note(note);
        self.note("the stall cannot know, and takes it");
        self.deposits_wait("stall").await?;
        std::fs::remove_dir_all(self.folder("alias"))
            .map_err(|error| broken(format!("cannot remove the copy: {error}")))?;
        self.done()
    }

    async fn bring_the_banks_back(&mut self) -> Told {
        self.begin("Center and banks start again; everything is deposited");
        for (role, name) in BANKS {
            self.start(role, name).await?;
        }
        for (till, amount) in [("shop", "27.00"), ("stall", "20.00")] {
            self.all_settled(till).await?;
            self.account("@south", till, amount).await?;
        }
        for (person, amount) in [("bob", "5.00"), ("carol", "1.00")] {
            self.deposited(person, amount).await?;
            self.account("@north", person, amount).await?;
        }
        self.note("33.00 are paid out of 20.00 coins: shop 7.00, stall 20.00, bob 5.00, carol 1.00");
        self.done()
    }

    async fn all_settled(&mut self, till: &str) -> Told {
        let begun = Instant::now();
        loop {
            let queue = self.ok(&["merchant", "deposit-queue", "--home", &format!("@{till}")]).await?;
            if at(&queue, "queued").as_u64() == Some(0) {
                let lines = at(&queue, "payments").as_array().cloned().unwrap_or_default();
                for line in &lines {
                    self.same("a deposit's state", &text_of(line, "state"), "settled")?;
                    self.same("what of it is owed", &text_of(line, "unpaid"), "0.00")?;
                }
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(broken(format!("the queue of {till} does not empty: {queue}")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn deposited(&mut self, person: &str, amount: &str) -> Told {
        let home = format!("@{person}");
        let begun = Instant::now();
        loop {
            let deposit = ["wallet", "deposit", "--offline", "--home", &home, amount];
            match self.command(&deposit).await? {
                Ok(told) if text_of(&told, "outcome") == "paid" => return Ok(()),
                other if begun.elapsed() > PATIENCE => {
                    return Err(broken(format!("{person} cannot deposit: {other:?}")));
                }
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    async fn name_the_cheat(&mut self) -> Told {
        self.begin("Two answers of one coin name Alice; her account pays, and anybody can check why");
        let listed = self.ok(&["bank", "accusations", "--home", "@north"]).await?;
        let lines = at(&listed, "accusations").as_array().cloned().unwrap_or_default();
        let first = lines.first().ok_or_else(|| broken("nobody is accused"))?;
        for line in &lines {
            self.same("who is accused", &text_of(line, "customer"), "alice")?;
            self.same("what is still owed", &text_of(line, "unpaid"), "0.00")?;
        }
        self.account("@north", "alice", "27.00").await?;
        self.note(format!("13.00 for {} coins spent twice left alice's account: 27.00", lines.len()));
        let (file, root) = ("@accusation.json", self.root()?);
        let (id, path) = (text_of(first, "id"), self.folder("accusation.json").display().to_string());
        let written = self.message(&["bank", "accusations", "--home", "@north", &id, "--out", file]).await?;
        let found = self.ok(&["verify", &path, "--root", &root]).await?;
        self.same("whom the document accuses", &text_of(&found, "account"), &text_of(first, "account"))?;
        self.same("trusted", &shown(&found, "trusted"), "true")?;
        self.note(format!("`feiqian verify` names her from {} bytes, without any node", written.bytes));
        let again = ["wallet", "withdraw", "--offline", "--home", "@alice", "1.00"];
        self.refused(&again, "IDENTITY_CLOSED").await?;
        self.note("she gets no more offline coins");
        self.done()
    }

    async fn audit_offline(&mut self) -> Told {
        self.begin("The books of all eight homes hold");
        let homes = ["@center", "@north", "@south", "@shop", "@stall", "@alice", "@bob", "@carol"];
        let mut arguments = vec!["audit"];
        for home in homes {
            arguments.extend(["--home", home]);
        }
        let audited = self.ok(&arguments).await?;
        self.same("held", &shown(&audited, "held"), "true")?;
        self.done()
    }

    async fn offline_of(&mut self, name: &str) -> Result<Value, Fault> {
        let balance = self.ok(&["wallet", "balance", "--home", &format!("@{name}")]).await?;
        Ok(at(&balance, "offline").clone())
    }

    /// The wallet can pay this offline.
    async fn holds_offline(&mut self, name: &str, expected: &str) -> Told {
        let offline = self.offline_of(name).await?;
        self.same(&format!("{name}'s offline balance"), &text_of(&offline, "balance"), expected)
    }
}
