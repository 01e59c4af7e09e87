//! One value changed in any store, in any column: the audit fails and names the place.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::cheque_tools;
use crate::world::World;

/// Tables of a store, with columns and the number of key columns first.
fn tables(connection: &Connection) -> Vec<(String, Vec<String>, Vec<String>)> {
    let mut names = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('store_meta') ORDER BY name")
        .unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    names
        .into_iter()
        .map(|name| {
            let mut info = connection.prepare(&format!("PRAGMA table_info({name})")).unwrap();
            let columns: Vec<(String, i64)> = info
                .query_map([], |row| Ok((row.get(1)?, row.get(5)?)))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let keys = columns.iter().filter(|(_, key)| *key > 0).map(|(name, _)| name.clone()).collect();
            (name, columns.into_iter().map(|(name, _)| name).collect(), keys)
        })
        .collect()
}

/// The smallest change of a value.
fn changed(value: &Value) -> Option<Value> {
    match value {
        Value::Integer(number) => Some(Value::Integer(number ^ 1)),
        Value::Text(text) if !text.is_empty() => {
            let mut bytes = text.clone().into_bytes();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            String::from_utf8(bytes).ok().map(Value::Text)
        }
        Value::Blob(bytes) if !bytes.is_empty() => {
            let mut bytes = bytes.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            Some(Value::Blob(bytes))
        }
        _ => None,
    }
}

/// Changes one column of one row of every table, one at a time; answers the table of every change that was noticed.
fn spoil(world: &World, name: &str) -> Vec<String> {
    let path = world.home(name).join("store.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA journal_mode = DELETE;").unwrap();
    let mut noticed = Vec::new();
    for (table, columns, keys) in tables(&connection) {
        let list = columns.join(", ");
        let mut select = connection.prepare(&format!("SELECT {list} FROM {table} LIMIT 1")).unwrap();
        let row: Option<Vec<Value>> = select
            .query_map([], |row| (0..columns.len()).map(|index| row.get(index)).collect())
            .unwrap()
            .next()
            .map(Result::unwrap);
        drop(select);
        let Some(row) = row else { continue };
        // Beside the key, which is tried in another test of the store: the first and the last column that can change.
        let others: Vec<usize> = (0..columns.len())
            .filter(|index| !keys.contains(&columns[*index]) && columns[*index] != "row_check")
            .filter(|index| changed(&row[*index]).is_some())
            .collect();
        let mut chosen: Vec<usize> = others.first().into_iter().chain(others.last()).copied().collect();
        chosen.dedup();
        for index in chosen {
            let place: Vec<String> =
                keys.iter().enumerate().map(|(number, key)| format!("{key} = ?{}", number + 2)).collect();
            let sql = format!("UPDATE {table} SET {} = ?1 WHERE {}", columns[index], place.join(" AND "));
            let key: Vec<Value> =
                columns.iter().zip(&row).filter(|(c, _)| keys.contains(c)).map(|(_, v)| v.clone()).collect();
            let write = |value: Value| {
                let values = std::iter::once(value).chain(key.iter().cloned());
                connection.execute(&sql, params_from_iter(values))
            };
            if write(changed(&row[index]).unwrap()).is_err() {
                // The database itself refuses it (unique); that is as good.
                continue;
            }
            let audit = world.audit(&[name]);
            audit.refused("BROKEN_INVARIANT");
            assert_eq!(audit.exit, Some(4));
            assert!(
                audit.value["findings"].to_string().contains(&table),
                "{table}.{} is not named: {}",
                columns[index],
                audit.value["findings"]
            );
            assert_eq!(write(row[index].clone()).unwrap(), 1);
            noticed.push(table.clone());
        }
    }
    let whole = world.audit(&[name]);
    assert_eq!(whole.value["held"], true, "put back, the books hold again: {}", whole.value);
    noticed
}

#[test]
fn one_value_changed_in_any_table_of_any_store_is_named() {
    let mut world = World::shopping("20.00");
    let uri = world.request("7.77", "A-1");
    world.ok(&["wallet", "pay", "--home", "@alice", &uri]);
    world.ok(&["merchant", "refund", "--home", "@shop", "--order", "A-1", "--amount", "1.00"]);
    world.ok(&["wallet", "refresh", "--home", "@alice"]);
    let uri = world.ok(&["wallet", "request", "--home", "@bob", "2.00"])["uri"].as_str().unwrap().to_owned();
    world.ok(&["wallet", "pay", "--home", "@alice", &uri]);
    world.ok(&["wallet", "receive", "--home", "@bob"]);
    world.stop_all();
    for (name, least) in
        [("center", 10), ("north", 20), ("south", 15), ("shop", 6), ("alice", 12), ("bob", 9)]
    {
        let noticed = spoil(&world, name).len();
        assert!(noticed >= least, "only {noticed} changes were tried in {name}");
    }
}

#[test]
fn one_value_changed_in_any_table_about_cheques_is_named() {
    let mut world = cheque_tools::clearing("net");
    // A row in every table: settled, pending, returned, endorsed, stopped and sent cheques, transfers, revocations,
    // closed statements.
    for (file, amount) in [("settled", "5.00"), ("pending", "6.00"), ("bounced", "5000.00")] {
        let cheque = cheque_tools::write(&world, "alice", "south/shop", amount, file, &[]);
        cheque_tools::give_in(&world, "shop", &cheque.file).ok();
        if file == "settled" {
            world.ok(&["center", "cycle", "close", "--home", "@center"]);
            world.ok(&["center", "settle", "--home", "@center"]);
            cheque_tools::is_paid(&world, "shop", &cheque.file);
        }
    }
    cheque_tools::write(&world, "alice", "south/bob", "7.00", "given", &["--negotiable", "--send"]);
    let endorse =
        ["wallet", "cheque", "endorse", "--home", "@bob", "@given.json", "--to", "south/shop", "--out"];
    cheque_tools::patient(&world, &[&endorse[..], &["@passed.json"]].concat()).ok();
    let stopped = cheque_tools::write(&world, "alice", "south/bob", "8.00", "stopped", &["--certify"]);
    cheque_tools::order(&world, "stop", &stopped.number, &["--reason", "LOST"]).ok();
    world.ok(&["wallet", "transfer", "--home", "@alice", "--to", "south/bob", "--amount", "9.00"]);
    world.ok(&["wallet", "certificate", "renew", "--home", "@alice"]);
    world.ok(&["bank", "statement", "--home", "@north", "--name", "alice"]);
    world.stop_all();
    let tables: [(&str, &[&str]); 6] = [
        (
            "center",
            &["center_presentment", "center_obligation", "center_cycle", "center_notice", "center_crl"],
        ),
        (
            "north",
            &[
                "account_statement",
                "certificate",
                "cheque",
                "cheque_book",
                "cheque_order",
                "cheque_presentment",
                "member_list",
                "presentment",
                "revoked",
                "transfer_order",
            ],
        ),
        ("south", &["cheque_box", "presentment"]),
        ("shop", &["merchant_cheque"]),
        ("alice", &["act", "cheque_leaf"]),
        ("bob", &["act", "cheque_received"]),
    ];
    for (name, expected) in tables {
        let noticed = spoil(&world, name);
        for table in expected {
            assert!(
                noticed.iter().any(|it| it == table),
                "nothing was changed in {table} of {name}: {noticed:?}"
            );
        }
    }
}

#[test]
fn a_damaged_file_is_named() {
    let mut world = World::banks();
    world.stop_all();
    let path = world.home("north").join("store.db");
    drop(Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = DELETE;"));
    let mut bytes = std::fs::read(&path).unwrap();
    for at in (4096..bytes.len()).step_by(512) {
        bytes[at] ^= 0x40;
    }
    std::fs::write(&path, bytes).unwrap();
    let audit = world.audit(&["center", "north"]);
    audit.refused("BROKEN_INVARIANT");
    assert!(audit.value["findings"].to_string().contains("north"), "{}", audit.value);
}

#[test]
fn a_missing_store_is_named() {
    let mut world = World::banks();
    world.stop_all();
    let dir = world.home("north");
    for name in ["store.db", "store.db-wal", "store.db-shm"] {
        let path = dir.join(name);
        assert!(!path.exists() || std::fs::remove_file(&path).is_ok());
    }
    let audit = world.audit(&["center", "north"]);
    audit.refused("BROKEN_INVARIANT");
    assert!(audit.value["findings"].to_string().contains("missing"), "{}", audit.value);
}
