//! Clearing: cheques deposited at one bank and drawn on another, from the merchant's order to its final credit, by nodes
//! of their own on this machine: a merchant, two banks and the center, with HTTPS between them and SQLite under each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::rate;
use crate::ask::ask;
use crate::commands::command;
use crate::demo::world::{World, text_of};
use crate::output::at;
use crate::roles::Role;

/// How many deposits are under way at a time.
const IN_FLIGHT: usize = 16;
/// Cheques a second of the asked time, and the most of them.
const CHEQUES_A_SECOND: u64 = 40;
const MOST_CHEQUES: u64 = 400;
/// How many leaves one order brings.
const LEAVES: u64 = 100;
/// How long nodes may take to know one another's revocation lists, and a deposit to be final.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pause between two looks: seldom enough not to be what is measured.
const AGAIN: Duration = Duration::from_millis(25);

/// Founds a small world, writes cheques, has them collected, and ends the world.
///
/// # Errors
/// What a node refuses; `INTERNAL` when no temporary folder can be made.
pub(super) async fn run(seconds: u64) -> Result<Value, Fault> {
    let folder = std::env::temp_dir().join(format!("feiqian-bench-{}", std::process::id()));
    feiqian_node::files::create_private_dir(&folder)
        .map_err(|error| Fault::new(Code::Internal, format!("cannot make {}: {error}", folder.display())))?;
    let mut world = World::new(folder.clone())?;
    let measured = measured(&mut world, seconds.saturating_mul(CHEQUES_A_SECOND).min(MOST_CHEQUES)).await;
    world.end().await;
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "the folder of the measure stays behind");
    }
    measured
}

async fn measured(world: &mut World, count: u64) -> Result<Value, Fault> {
    found(world).await?;
    let written = Instant::now();
    let files = write(world, count).await?;
    let write_time = written.elapsed();
    let begun = Instant::now();
    deposit(world, files).await?;
    let elapsed = begun.elapsed();
    Ok(json!({
        "work": "cheques_cleared_between_processes",
        "from": "deposit to final credit, merchant, two banks and center on this machine",
        "items": count,
        "in_flight": IN_FLIGHT,
        "per_second": rate(count, elapsed),
        "milliseconds": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        "written_per_second": rate(count, write_time),
    }))
}

async fn ok(world: &mut World, arguments: &[&str]) -> Result<Value, Fault> {
    world.command(arguments).await?.map_err(|(code, message)| {
        let what = arguments.iter().take(3).copied().collect::<Vec<_>>().join(" ");
        Fault::new(Code::Internal, format!("`{what}` was refused: {code}: {message}"))
    })
}

/// A center, banks north and south, dora at north with money, a shop at south.
async fn found(world: &mut World) -> Result<(), Fault> {
    ok(world, &["center", "init", "--home", "@center", "--name", "center"]).await?;
    world.start("center", "center").await?;
    let center = world.url("center")?.to_owned();
    for (bank, home) in [("north", "@north"), ("south", "@south")] {
        ok(world, &["bank", "init", "--home", home, "--name", bank, "--center", &center]).await?;
        world.start("bank", bank).await?;
    }
    for (role, name, bank, kind) in
        [("wallet", "dora", "north", "customer"), ("merchant", "shop", "south", "merchant")]
    {
        let (at_bank, home) = (format!("@{bank}"), format!("@{name}"));
        let open = ["bank", "account", "open", "--home", &at_bank, "--name", name, "--role", kind];
        let code = text_of(&ok(world, &open).await?, "code");
        let url = world.url(bank)?.to_owned();
        ok(world, &[role, "init", "--home", &home, "--name", name, "--bank", &url, "--code", &code]).await?;
        world.start(role, name).await?;
    }
    let fund = ["bank", "account", "fund", "--home", "@north", "--name", "dora", "--amount", "100000.00"];
    ok(world, &fund).await.map(drop)
}

/// Writes `count` cheques, each of another amount; answers their files.
async fn write(world: &World, count: u64) -> Result<Vec<std::path::PathBuf>, Fault> {
    let home = world.home("dora");
    let mut files = Vec::new();
    for index in 0..count {
        if index.checked_rem(LEAVES) == Some(0) {
            let leaves = count.saturating_sub(index).min(LEAVES);
            ask(Role::Wallet, &home, command("cheque_book", json!({"leaves": leaves}))).await?;
        }
        let out = home.join(format!("bench-{index}.json"));
        let (yuan, fen) = (index.div_euclid(100).saturating_add(1), index.rem_euclid(100));
        let order = json!({"to": "south/shop", "amount": format!("{yuan}.{fen:02}"), "out": out});
        patiently(Role::Wallet, &home, command("cheque_write", order), |_| true).await?;
        files.push(out);
    }
    Ok(files)
}

/// Has all of them collected, several at a time, each until its credit is final.
async fn deposit(world: &World, files: Vec<std::path::PathBuf>) -> Result<(), Fault> {
    let (files, next) = (Arc::new(files), Arc::new(AtomicUsize::new(0)));
    let mut under_way = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (files, next, home) = (Arc::clone(&files), Arc::clone(&next), world.home("shop"));
        under_way.spawn(async move {
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let order = command("cheque_deposit", json!({"path": file}));
                let is_final = |answer: &Value| text_of(answer, "outcome") != "pending";
                let told = patiently(Role::Merchant, &home, order, is_final).await?;
                if text_of(&told, "outcome") != "paid" {
                    let why = at(&told, "code").to_string();
                    return Err(Fault::new(
                        Code::Internal,
                        format!("a cheque of the measure came back: {why}"),
                    ));
                }
            }
            Ok(())
        });
    }
    while let Some(ended) = under_way.join_next().await {
        ended.map_err(|error| Fault::new(Code::Internal, error.to_string()))??;
    }
    Ok(())
}

/// Asks until the answer will do; what a node cannot say yet is asked again.
async fn patiently(
    role: Role,
    home: &std::path::Path,
    order: Value,
    will_do: impl Fn(&Value) -> bool,
) -> Result<Value, Fault> {
    let begun = Instant::now();
    loop {
        match ask(role, home, order.clone()).await {
            Ok(answer) if will_do(&answer) => return Ok(answer),
            Err(fault) if fault.is_definitive() || begun.elapsed() > PATIENCE => return Err(fault),
            Ok(answer) if begun.elapsed() > PATIENCE => {
                return Err(Fault::new(Code::Unavailable, format!("not final in time: {answer}")));
            }
            _ => tokio::time::sleep(AGAIN).await,
        }
    }
}
