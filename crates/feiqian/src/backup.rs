//! `backup` and `restore` of a node that keeps everything in its home.

use std::io;
use std::path::{Component, Path, PathBuf};

use feiqian_node::{Clock as _, Home, SystemClock, files};
use feiqian_store::backup::{self, HomeFile};
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};

use crate::cli::{BackupArgs, RestoreArgs};
use crate::roles::Role;
use crate::stores;

/// Longest file of a home that is copied, in bytes.
const FILE_LIMIT: u64 = 64 << 20;

/// What a home has while a node runs, and the store itself, which is copied in another way.
const LEFT_OUT: [&str; 6] = ["store.db", "store.db-wal", "store.db-shm", "control.sock", "lock", "opened"];

fn internal(what: &Path, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(Code::Internal, format!("{}: {error}", what.display()))
}

/// `feiqian ROLE backup`: `{"role","home","file","bytes","files","made_at"}`.
///
/// # Errors
/// `CONFLICT` when the file exists; `USAGE` for a node that keeps its store in PostgreSQL; `WRONG_HOME`; `INTERNAL` when the
/// file system refuses.
pub(crate) fn back_up(role: Role, args: &BackupArgs) -> Result<Value, Fault> {
    let home = Home::open(&args.home, role.name())?;
    let store = stores::file(&home)?.ok_or_else(|| {
        Fault::new(Code::Usage, "this node keeps its store in PostgreSQL")
            .hint("copy the database with pg_dump, and the home with any program for copying files")
    })?;
    if !store.exists() {
        return Err(Fault::new(Code::WrongHome, format!("{} has no store yet", home.dir().display()))
            .hint(format!("run it once with `feiqian {} run`", role.name())));
    }
    if args.out.exists() {
        return Err(Fault::new(Code::Conflict, format!("{} exists already", args.out.display()))
            .hint("a backup never replaces another: name a new file"));
    }
    let made_at = SystemClock.now().seconds();
    let mut count = 0_usize;
    let collect = || {
        let mut found = Vec::new();
        collect_files(home.dir(), Path::new(""), &mut found)?;
        count = found.len();
        Ok(found)
    };
    backup::write(&store, &args.out, made_at, collect).map_err(|error| internal(&args.out, &error))?;
    let bytes = std::fs::metadata(&args.out).map_err(|error| internal(&args.out, &error))?.len();
    Ok(json!({
        "role": role.name(),
        "home": home.dir(),
        "file": args.out,
        "bytes": bytes,
        "files": count,
        "made_at": made_at,
        "secret": "it holds the node's keys as its home does: keep it as safe",
    }))
}

fn collect_files(dir: &Path, inside: &Path, found: &mut Vec<HomeFile>) -> io::Result<()> {
    let mut names: Vec<_> = std::fs::read_dir(dir.join(inside))?.collect::<io::Result<_>>()?;
    names.sort_by_key(std::fs::DirEntry::file_name);
    for entry in names {
        let place = inside.join(entry.file_name());
        let kind = entry.file_type()?;
        let left_out = LEFT_OUT.iter().any(|name| place.as_path() == Path::new(name));
        if kind.is_dir() {
            collect_files(dir, &place, found)?;
        } else if kind.is_file() && !left_out {
            let name = place.to_str().ok_or_else(|| io::Error::other("a file name is not UTF-8"))?.to_owned();
            match files::read_bounded(&dir.join(&place), FILE_LIMIT) {
                Ok(body) => found.push((name, body)),
                // Written anew or taken away by the running node meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// `feiqian ROLE restore`: `{"role","home","made_at","voided_sessions","reconcile"}`.
///
/// The home is made beside its place and put there whole.
///
/// # Errors
/// `CONFLICT` when the folder is in use; `WRONG_HOME` for a backup of another role; `INTERNAL` for what is no backup, is
/// damaged, or cannot be written.
pub(crate) async fn restore(role: Role, args: &RestoreArgs) -> Result<Value, Fault> {
    let (about, home_files) = backup::read(&args.from).map_err(|error| internal(&args.from, &error))?;
    if about.role != role.name() {
        let text = format!("{} is the backup of a {}", args.from.display(), about.role);
        return Err(Fault::new(Code::WrongHome, text)
            .hint(format!("restore it with `feiqian {} restore`", about.role)));
    }
    let empty = match std::fs::read_dir(&args.home) {
        Ok(mut found) => found.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(internal(&args.home, &error)),
    };
    if !empty {
        return Err(Fault::new(Code::Conflict, format!("{} is not empty", args.home.display()))
            .hint("choose a new folder with --home"));
    }
    let part = part_of(&args.home)?;
    if part.exists() {
        // Of a restore that was interrupted.
        std::fs::remove_dir_all(&part).map_err(|error| internal(&part, &error))?;
    }
    let voided = fill(role, &part, (&args.from, &home_files), about.made_at).await?;
    std::fs::rename(&part, &args.home).map_err(|error| internal(&args.home, &error))?;
    Ok(json!({
        "role": role.name(),
        "home": args.home,
        "made_at": about.made_at,
        "voided_sessions": voided,
        "reconcile": reconcile(role),
        "next": format!("feiqian {} run --home {}", role.name(), args.home.display()),
    }))
}

fn part_of(home: &Path) -> Result<PathBuf, Fault> {
    let home = std::path::absolute(home).map_err(|error| internal(home, &error))?;
    let mut name = home.file_name().ok_or_else(|| internal(&home, &"no folder's name"))?.to_owned();
    name.push(".restoring");
    Ok(home.with_file_name(name))
}

/// Fills a new home: files, then the store, then what the role does once.
async fn fill(
    role: Role,
    dir: &Path,
    (from, home_files): (&Path, &[HomeFile]),
    made_at: u64,
) -> Result<u64, Fault> {
    let home = Home::create(dir, role.name())?;
    for (name, body) in home_files {
        let place = Path::new(name);
        if place.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(internal(from, &format!("it names the file {name}, outside of a home")));
        }
        let path = home.path(name);
        let folder = path.parent().unwrap_or(dir);
        files::create_private_dir(folder).map_err(|error| internal(folder, &error))?;
        files::write_private(&path, body).map_err(|error| internal(&path, &error))?;
    }
    let now = SystemClock.now().seconds();
    let store = home.path(stores::FILE);
    backup::restore(from, &store, now).map_err(|error| internal(&store, &error))?;
    let store = stores::open(role, &home)?;
    match role {
        Role::Bank => feiqian_bank::restored::begin(&*store, made_at).await,
        Role::Center | Role::Merchant | Role::Wallet => Ok(0),
    }
}

/// What only its operator can look after.
fn reconcile(role: Role) -> &'static str {
    match role {
        Role::Bank => {
            "what the bank did after the backup is not in it. When it is run it first asks the center what was cleared since; \
             what passed through no center is lost: withdrawals were not debited, coins deposited or refreshed here can be \
             spent again. Never run the old home again; compare with `feiqian audit` over the center's home and this one"
        }
        Role::Center => {
            "what was presented, pinned and settled after the backup is not in it. Never run the old home again; compare \
             with `feiqian audit` over the banks' homes and this one before banks are served"
        }
        Role::Merchant | Role::Wallet => {
            "what was paid after the backup is not in it; the bank has its deposits. Never run the old home again"
        }
    }
}
