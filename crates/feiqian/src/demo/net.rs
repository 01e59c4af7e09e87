//! The chapter of net settlement: a second, small world whose center nets what its banks owe one another in a cycle.

use std::time::Instant;

use feiqian_wire::error::Fault;
use serde_json::Value;

use super::cheques::{LISTS, shown};
use super::story::{LOOK_AGAIN, Story, Told};
use super::world::{broken, text_of};
use crate::output::at;

impl Story {
    /// Tells the chapter. Its center, banks and people are others than those of the story before.
    pub(super) async fn tell_of_a_cycle(&mut self) -> Told {
        self.found_netting_center().await?;
        self.owe_one_another().await?;
        self.close_and_settle().await?;
        self.audit_the_cycle().await
    }

    async fn found_netting_center(&mut self) -> Told {
        self.begin("A second center settles in cycles; banks east and west join, fan and gu open accounts");
        let init = ["center", "init", "--home", "@hub", "--name", "hub", "--settlement", "net"];
        self.ok(&init).await?;
        self.start("center", "hub").await?;
        let center = self.address("hub")?;
        for (bank, person) in [("east", "fan"), ("west", "gu")] {
            let (at_bank, home) = (format!("@{bank}"), format!("@{person}"));
            self.ok(&["bank", "init", "--home", &at_bank, "--name", bank, "--center", &center]).await?;
            self.start("bank", bank).await?;
            let code = self.enrol(&at_bank, person, "customer").await?;
            let url = self.address(bank)?;
            self.ok(&["wallet", "init", "--home", &home, "--name", person, "--bank", &url, "--code", &code])
                .await?;
            let fund =
                ["bank", "account", "fund", "--home", &at_bank, "--name", person, "--amount", "200.00"];
            self.ok(&fund).await?;
            self.ok(&["wallet", "cheque", "book", "--home", &home, "--leaves", "5"]).await?;
        }
        self.note("each has 200.00 and a cheque book");
        self.done()
    }

    async fn owe_one_another(&mut self) -> Told {
        self.begin("Fan pays gu 120.00 by cheque, gu pays fan 50.00: paid by the drawees, not yet credited");
        self.cheque_of("fan", "west/gu", "120.00", "@cycle-1.json").await?;
        self.cheque_of("gu", "east/fan", "50.00", "@cycle-2.json").await?;
        self.is_paid_and_pending("gu", "@cycle-1.json").await?;
        self.is_paid_and_pending("fan", "@cycle-2.json").await?;
        self.account("@east", "fan", "80.00").await?;
        self.account("@west", "gu", "150.00").await?;
        let positions = self.ok(&["center", "positions", "--home", "@hub"]).await?;
        let cycle = open_cycle(&positions, "open")?;
        self.same("what east owes the cycle", &net_of(&cycle, "east"), "-7000")?;
        self.same("what the cycle owes west", &net_of(&cycle, "west"), "7000")?;
        self.same("the sum of the positions", &text_of(&cycle, "sum"), "0")?;
        self.note("170.00 in two cheques come to one debt: east 70.00 to west; the positions sum to zero");
        self.done()
    }

    /// Deposits until the drawee has paid; the credit waits for the cycle.
    async fn is_paid_and_pending(&mut self, person: &str, file: &str) -> Told {
        let home = format!("@{person}");
        let begun = Instant::now();
        loop {
            let told = self.command(&["wallet", "cheque", "deposit", "--home", &home, file]).await?;
            match told {
                Ok(told) if *at(&told, "paid") == true => {
                    return self.same("the deposit", &text_of(&told, "outcome"), "pending");
                }
                Err((code, message)) if code != "UNAVAILABLE" => {
                    return Err(broken(format!("no deposit was taken: {code}: {message}")));
                }
                other if begun.elapsed() > LISTS => {
                    return Err(broken(format!("the drawee does not pay: {other:?}")));
                }
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    async fn close_and_settle(&mut self) -> Told {
        self.begin("The cycle is closed and settled: one movement between the banks, and both are credited");
        self.ok(&["center", "cycle", "close", "--home", "@hub"]).await?;
        let settled = self.ok(&["center", "settle", "--home", "@hub"]).await?;
        let lines = at(&settled, "cycles").as_array().cloned().unwrap_or_default();
        let items = lines.first().map(|line| shown(line, "items")).unwrap_or_default();
        self.same("items in the settled cycle", &items, "2")?;
        for (person, file) in [("gu", "@cycle-1.json"), ("fan", "@cycle-2.json")] {
            let home = format!("@{person}");
            self.deposits(&["wallet", "cheque", "deposit", "--home", &home, file], "paid", ("", "")).await?;
        }
        self.account("@east", "fan", "130.00").await?;
        self.account("@west", "gu", "270.00").await?;
        let positions = self.ok(&["center", "positions", "--home", "@hub"]).await?;
        for (bank, expected) in [("east", "999930.00"), ("west", "1000070.00")] {
            let found =
                bank_line(&positions, bank).map(|line| text_of(&line, "settlement")).unwrap_or_default();
            self.same(&format!("{bank}'s settlement account"), &found, expected)?;
        }
        self.note("fan 130.00, gu 270.00; east's settlement account gave 70.00 to west's");
        self.done()
    }

    async fn audit_the_cycle(&mut self) -> Told {
        self.begin("The books of the second world hold too");
        let homes =
            ["--home", "@hub", "--home", "@east", "--home", "@west", "--home", "@fan", "--home", "@gu"];
        let arguments: Vec<&str> = std::iter::once("audit").chain(homes).collect();
        let audited = self.ok(&arguments).await?;
        self.same("held", &shown(&audited, "held"), "true")?;
        self.done()
    }
}

/// The one cycle in that state.
fn open_cycle(positions: &Value, state: &str) -> Result<Value, Fault> {
    let cycles = at(positions, "cycles").as_array().cloned().unwrap_or_default();
    let found = cycles.into_iter().find(|cycle| *at(cycle, "state") == state);
    found.ok_or_else(|| broken(format!("no cycle is {state}: {positions}")))
}

fn net_of(cycle: &Value, bank: &str) -> String {
    text_of(at(cycle, "net"), bank)
}

fn bank_line(positions: &Value, bank: &str) -> Option<Value> {
    at(positions, "banks").as_array()?.iter().find(|line| *at(line, "bank") == bank).cloned()
}
