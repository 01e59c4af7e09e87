//! The cheque chapter: written, verified, paid across banks; one bounces, one is stopped, one is presented twice;
//! then a cycle is netted and settled.

use std::time::Instant;

use feiqian_wire::error::Fault;
use serde_json::Value;

use super::story::{LOOK_AGAIN, Story, Told, copy};
use super::world::{broken, text_of};

/// How long the banks' revocation lists may take to reach the center.
pub(super) const LISTS: std::time::Duration = std::time::Duration::from_secs(75);

impl Story {
    /// Tells the chapter. It uses people of its own and leaves what the others hold as it is.
    pub(super) async fn tell_of_cheques(&mut self) -> Told {
        self.open_for_cheques().await?;
        self.write_and_pay().await?;
        self.bounce().await?;
        self.stop().await?;
        self.present_twice().await?;
        self.audit_again().await?;
        self.tell_of_a_cycle().await
    }

    async fn open_for_cheques(&mut self) -> Told {
        self.begin("Dora at north gets a cheque book, Emil opens an account at south");
        for (person, bank) in [("dora", "north"), ("emil", "south")] {
            let at = format!("@{bank}");
            let code = self.enrol(&at, person, "customer").await?;
            let (home, url) = (format!("@{person}"), self.address(bank)?);
            self.ok(&["wallet", "init", "--home", &home, "--name", person, "--bank", &url, "--code", &code])
                .await?;
        }
        self.ok(&["bank", "account", "fund", "--home", "@north", "--name", "dora", "--amount", "400.00"])
            .await?;
        let book = self.ok(&["wallet", "cheque", "book", "--home", "@dora", "--leaves", "10"]).await?;
        self.same("leaves", &shown(&book, "leaves"), "10")?;
        self.note("dora has 400.00 on her account and ten leaves");
        self.done()
    }

    /// Writes a cheque of dora's to the shop's or emil's account; answers its number.
    async fn cheque(&mut self, to: &str, amount: &str, out: &str) -> Result<String, Fault> {
        self.cheque_of("dora", to, amount, out).await
    }

    /// Writes a cheque; answers its number.
    pub(super) async fn cheque_of(
        &mut self,
        drawer: &str,
        to: &str,
        amount: &str,
        out: &str,
    ) -> Result<String, Fault> {
        let home = format!("@{drawer}");
        let arguments =
            ["wallet", "cheque", "write", "--home", &home, "--to", to, "--amount", amount, "--out", out];
        let begun = Instant::now();
        loop {
            match self.command(&arguments).await? {
                Ok(written) => {
                    self.same("the cheque's state", &text_of(&written, "state"), "ISSUED")?;
                    return Ok(shown(&written, "number"));
                }
                // Without the banks' revocation lists nothing is believed; the center gathers them by and by.
                Err((code, _)) if code == "UNAVAILABLE" && begun.elapsed() < LISTS => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err((code, message)) => {
                    return Err(broken(format!("no cheque was written: {code}: {message}")));
                }
            }
        }
    }

    /// Deposits until the banks have settled; checks outcome and code.
    pub(super) async fn deposits(&mut self, arguments: &[&str], outcome: &str, code: (&str, &str)) -> Told {
        let begun = Instant::now();
        loop {
            let told = match self.command(arguments).await? {
                Ok(told) => told,
                Err((code, _)) if code == "UNAVAILABLE" && begun.elapsed() < LISTS => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
                Err((code, message)) => {
                    return Err(broken(format!("no deposit was taken: {code}: {message}")));
                }
            };
            if text_of(&told, "outcome") == "pending" && begun.elapsed() < LISTS {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            self.same("the deposit", &text_of(&told, "outcome"), outcome)?;
            self.same("the return code", &text_of(&told, "code"), code.0)?;
            return self.same("its ISO 20022 reason", &text_of(&told, "iso20022"), code.1);
        }
    }

    /// What dora's register says of a number.
    async fn register(&mut self, number: &str, state: &str) -> Told {
        let listed = self.ok(&["wallet", "cheque", "list", "--home", "@dora"]).await?;
        let lines = lines_of(&listed);
        let found = lines.iter().find(|line| shown(line, "number") == number);
        let found = found.map(|line| text_of(line, "state")).unwrap_or_default();
        self.same(&format!("cheque {number} at the drawee"), &found, state)
    }

    async fn write_and_pay(&mut self) -> Told {
        self.begin("Dora pays the shop at south by cheque; the center verifies it, the banks clear it");
        let number = self.cheque("south/shop", "250.00", "@cheque-1.json").await?;
        let verdict = self.ok(&["merchant", "cheque", "verify", "--home", "@shop", "@cheque-1.json"]).await?;
        self.same("the center's verdict", &shown(&verdict, "good"), "true")?;
        let deposit = ["merchant", "cheque", "deposit", "--home", "@shop", "@cheque-1.json"];
        self.deposits(&deposit, "paid", ("", "")).await?;
        self.account("@north", "dora", "150.00").await?;
        let listed = self.ok(&["wallet", "cheque", "list", "--home", "@dora"]).await?;
        let state = lines_of(&listed).first().map(|line| text_of(line, "state")).unwrap_or_default();
        if !matches!(state.as_str(), "PAID" | "SETTLED") {
            return Err(broken(format!("cheque {number} is {state} at the drawee, expected was PAID")));
        }
        self.note(format!("cheque {number}: 250.00 left dora's account, the register says {state}"));
        self.done()
    }

    async fn bounce(&mut self) -> Told {
        self.begin("A cheque above the balance bounces");
        let number = self.cheque("south/shop", "999.00", "@cheque-2.json").await?;
        let deposit = ["merchant", "cheque", "deposit", "--home", "@shop", "@cheque-2.json"];
        self.deposits(&deposit, "returned", ("INSUFFICIENT_FUNDS", "AM04")).await?;
        self.register(&number, "RETURNED").await?;
        self.account("@north", "dora", "150.00").await?;
        self.note("returned with INSUFFICIENT_FUNDS (AM04); nothing moved");
        self.done()
    }

    async fn stop(&mut self) -> Told {
        self.begin("A lost cheque is stopped");
        let number = self.cheque("south/shop", "20.00", "@cheque-3.json").await?;
        self.ok(&["wallet", "cheque", "stop", "--home", "@dora", &number, "--reason", "LOST"]).await?;
        let deposit = ["merchant", "cheque", "deposit", "--home", "@shop", "@cheque-3.json"];
        self.deposits(&deposit, "returned", ("STOPPED", "SP01")).await?;
        self.register(&number, "STOPPED").await?;
        self.account("@north", "dora", "150.00").await?;
        self.note("returned with STOPPED (SP01)");
        self.done()
    }

    async fn present_twice(&mut self) -> Told {
        self.begin("A copied wallet presents a cheque that was paid");
        let number = self.cheque("south/emil", "50.00", "@cheque-4.json").await?;
        let certify = ["wallet", "cheque", "certify", "--home", "@dora", &number, "--out", "@certified.json"];
        self.ok(&certify).await?;
        let (from, to) = (self.folder("emil"), self.folder("emil-copied"));
        copy(&from, &to).map_err(|error| broken(format!("cannot copy {}: {error}", from.display())))?;
        let first = ["wallet", "cheque", "deposit", "--home", "@emil", "@certified.json"];
        self.deposits(&first, "paid", ("", "")).await?;
        let second = ["wallet", "cheque", "deposit", "--home", "@emil-copied", "@cheque-4.json"];
        self.deposits(&second, "returned", ("DUPLICATE", "AM05")).await?;
        self.account("@north", "dora", "100.00").await?;
        self.account("@south", "emil", "50.00").await?;
        self.note("paid once; the second presentment came back with DUPLICATE (AM05)");
        self.done()
    }

    async fn audit_again(&mut self) -> Told {
        self.begin("The books hold with the cheques in them");
        let people = ["@alice", "@bob", "@carol", "@dora", "@emil"];
        let homes = [&["@center", "@north", "@south", "@shop", "@stall"][..], &people].concat();
        let mut arguments = vec!["audit"];
        for home in homes {
            arguments.extend(["--home", home]);
        }
        let audited = self.ok(&arguments).await?;
        self.same("held", &shown(&audited, "held"), "true")?;
        self.done()
    }
}

/// A field as JSON writes it.
pub(super) fn shown(value: &Value, name: &str) -> String {
    value.get(name).map(Value::to_string).unwrap_or_default()
}

fn lines_of(listed: &Value) -> Vec<Value> {
    listed.get("cheques").and_then(Value::as_array).cloned().unwrap_or_default()
}
