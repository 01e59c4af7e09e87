//! What the tests about offline cash share: a world that has seen the offline keys, and the exchanges as they are typed.
//! Messages are files in the world's folder, `@name` in a command.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::world::{Answer, World, wait_until, words};

/// Who is killed so that nobody has a connection.
pub(crate) const OTHERS: [&str; 3] = ["center", "north", "south"];

/// How long what happens in the background may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A command as it is typed, which must succeed.
pub(crate) fn typed(world: &World, command: &str) -> Value {
    world.ok(&words(command))
}

/// A command as it is typed, whatever it answers.
pub(crate) fn tried(world: &World, command: &str) -> Answer {
    world.run(&words(command))
}

/// A shop at south and Alice at north with 20.00 in offline coins; everybody has seen the keys.
pub(crate) fn market() -> World {
    let mut world = World::shopping("10.00");
    withdrawn(&world, "alice", "20.00");
    knows_keys(&mut world, "shop");
    world
}

/// The same, with blanks for Bob and Carol, who are at north too.
pub(crate) fn market_of_three() -> World {
    let world = market();
    world.wallet("carol", "north");
    for name in ["bob", "carol"] {
        typed(&world, &format!("wallet blanks --home @{name} 24"));
    }
    world
}

/// Withdraws offline coins as soon as the bank's keys are pinned.
pub(crate) fn withdrawn(world: &World, name: &str, amount: &str) {
    let command = format!("wallet withdraw --offline --home @{name} {amount}");
    let done = wait_until(PATIENCE, || (tried(world, &command).exit == Some(0)).then_some(()));
    assert!(done.is_some(), "{}", tried(world, &command).value);
}

/// A merchant that has seen both banks' offline keys: it looks around when it starts.
pub(crate) fn knows_keys(world: &mut World, till: &str) {
    let seen = wait_until(PATIENCE, || {
        world.stop(till);
        world.start(till);
        let look = || {
            let status = typed(world, &format!("merchant status --home @{till}"));
            (status["offline_keysets"] == 2 && status["exposed_at"] != 0).then_some(())
        };
        wait_until(Duration::from_secs(5), look)
    });
    assert!(seen.is_some(), "{}", world.log(till));
}

/// A second till at south.
pub(crate) fn stall(world: &mut World) {
    let (south, code) = (world.url("south"), world.enrol("south", "stall", "merchant"));
    typed(world, &format!("merchant init --home @stall --name stall --bank {south} --code {code}"));
    world.start("stall");
    knows_keys(world, "stall");
}

/// Changes a line of a home's settings; the node must not run.
pub(crate) fn set(world: &World, name: &str, section: &str, key: &str, value: &str) {
    let file = world.home(name).join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let head = format!("[{section}]");
    let (mut out, mut inside, mut done) = (Vec::new(), false, false);
    for line in text.lines() {
        if inside && !done && line.starts_with(&format!("{key} =")) {
            out.push(format!("{key} = {value}"));
            done = true;
            continue;
        }
        if line.starts_with('[') {
            inside = line == head;
        }
        out.push(line.to_owned());
    }
    assert!(done, "{section}.{key} is not in {text}");
    std::fs::write(&file, out.join("\n")).unwrap();
}

/// Copies a home at rest.
pub(crate) fn copied(world: &World, from: &str, to: &str) {
    let done = Command::new("cp").arg("-a").args([world.home(from), world.home(to)]).status();
    assert!(done.unwrap().success());
}

/// The till asks, in a file called `order`.request.
pub(crate) fn asked(world: &World, till: &str, amount: &str, order: &str) {
    let ask = format!("merchant request --offline --home @{till} --amount {amount} --order {order}");
    let told = typed(world, &format!("{ask} --out @{order}.request"));
    let size = std::fs::metadata(world.home(&format!("{order}.request"))).unwrap().len();
    assert_eq!((&told["order"], told["bytes"].as_u64()), (&order.into(), Some(size)), "{told}");
}

/// The wallet pays that, in a file called `order`.payment.
pub(crate) fn paid(world: &World, (payer, till): (&str, &str), amount: &str, order: &str) -> Value {
    asked(world, till, amount, order);
    let pay = format!("wallet pay --offline --home @{payer} @{order}.request --out @{order}.payment");
    let given = typed(world, &pay);
    assert_eq!((&given["outcome"], &given["amount"]), (&"given".into(), &amount.into()), "{given}");
    given
}

/// The till takes it.
pub(crate) fn accepted(world: &World, till: &str, order: &str) -> Value {
    let taken = typed(world, &format!("merchant accept --home @{till} @{order}.payment"));
    assert_eq!(taken["outcome"], "accepted", "{taken}");
    let size = std::fs::metadata(world.home(&format!("{order}.payment"))).unwrap().len();
    assert_eq!(taken["bytes"].as_u64(), Some(size), "{taken}");
    taken
}

/// The payee's offer and the payer's answer; both screens show one code, which is answered. The opened offer is in a file
/// called `name`.opened.
pub(crate) fn opened(world: &World, (payer, payee): (&str, &str), amount: &str, name: &str) -> String {
    typed(world, &format!("wallet offline offer --home @{payee} {amount} --blanks 8 --out @{name}.offer"));
    typed(world, &format!("wallet offline answer --home @{payer} @{name}.offer --out @{name}.answer"));
    let shown =
        typed(world, &format!("wallet offline accept --home @{payee} @{name}.answer --out @{name}.opened"));
    let compared = typed(world, &format!("wallet transfer-coin --home @{payer} --to @{name}.opened"));
    assert_eq!((&compared["outcome"], &compared["code"]), (&"compare".into(), &shown["code"]), "{compared}");
    assert_eq!(compared["amount"], amount, "{compared}");
    // Codes are shown in two groups.
    shown["code"].as_str().unwrap().replace(' ', "")
}

/// Passes value to the opened offer, in a file called `name`.transfer.
pub(crate) fn passed(world: &World, payer: &str, code: &str, name: &str) -> Value {
    let pass = format!("wallet transfer-coin --home @{payer} --to @{name}.opened --code {code}");
    let given = typed(world, &format!("{pass} --out @{name}.transfer"));
    assert_eq!(given["outcome"], "given", "{given}");
    given
}

/// The whole exchange.
pub(crate) fn handed(world: &World, (payer, payee): (&str, &str), amount: &str, name: &str) -> Value {
    let code = opened(world, (payer, payee), amount, name);
    let given = passed(world, payer, &code, name);
    let taken = typed(world, &format!("wallet accept --home @{payee} @{name}.transfer"));
    let told = (&taken["outcome"], &taken["amount"], &taken["pieces"], &taken["bytes"]);
    assert_eq!(told, (&"taken".into(), &amount.into(), &given["pieces"], &given["bytes"]), "{taken}");
    given
}

/// What a wallet can pay offline.
pub(crate) fn holds(world: &World, name: &str, amount: &str) {
    let balance = world.balance(name);
    assert_eq!(balance["offline"]["balance"], amount, "{name}: {balance}");
    assert_eq!(balance["offline"]["pending"], "0.00", "{name}: {balance}");
}

/// Waits for what becomes of an order in a till's queue.
pub(crate) fn queue_until(world: &World, till: &str, order: &str, state: &str) -> Value {
    let queue = format!("merchant deposit-queue --home @{till}");
    let line = wait_until(PATIENCE, || {
        let told = typed(world, &queue);
        let lines = told["payments"].as_array().unwrap();
        lines.iter().find(|line| line["order"] == order && line["state"] == state).cloned()
    });
    line.unwrap_or_else(|| panic!("{order} is not {state}: {}", world.log(till)))
}

/// Waits until an order is paid in full.
pub(crate) fn settled(world: &World, till: &str, order: &str, amount: &str) {
    let line = queue_until(world, till, order, "settled");
    assert_eq!((&line["paid"], &line["unpaid"]), (&amount.into(), &"0.00".into()), "{line}");
}

/// Turns offline value into money on the account.
pub(crate) fn deposited(world: &World, name: &str, amount: &str) {
    let command = format!("wallet deposit --offline --home @{name} {amount}");
    let done = wait_until(PATIENCE, || {
        let answer = tried(world, &command);
        (answer.value["outcome"] == "paid").then_some(answer.value)
    });
    let done = done.unwrap_or_else(|| panic!("{}", tried(world, &command).value));
    assert_eq!((&done["paid"], &done["unpaid"]), (&amount.into(), &"0.00".into()), "{done}");
}

/// Whom a bank accuses, by name.
pub(crate) fn accused(world: &World, bank: &str) -> Vec<Value> {
    let told = typed(world, &format!("bank accusations --home @{bank}"));
    told["accusations"].as_array().unwrap().clone()
}

/// Writes the texts of an answer that was not written to a file, one a line, in this order.
pub(crate) fn texts(answer: &Value) -> Vec<String> {
    match answer["uri"].as_str() {
        Some(uri) => vec![uri.to_owned()],
        None => answer["frames"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect(),
    }
}
