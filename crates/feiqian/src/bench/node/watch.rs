//! What the nodes' processes use: processor time and bytes written from `/proc`, commits from their figures.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use feiqian_node::Dialer;
use feiqian_wire::error::{Code, Fault};

use super::line::{self, Line};

/// A clock tick of `/proc/PID/stat` in milliseconds: Linux shows a hundred a second on every machine this runs on.
const TICK_MS: u64 = 10;
/// How often the disk is timed.
const FLUSHES: usize = 200;
/// The process of the load itself.
pub(super) const GENERATOR: &str = "load";

/// What one process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Used {
    pub(super) cpu_ms: u64,
    /// Bytes the process caused to be written to disk.
    pub(super) written: u64,
    pub(super) commits: u64,
    pub(super) works: u64,
}

/// All processes at one time, or between two.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading(pub(super) BTreeMap<String, Used>);

impl Reading {
    /// From `earlier` to this.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let spent = |(name, now): (&String, &Used)| {
            let before = earlier.0.get(name).copied().unwrap_or_default();
            let used = Used {
                cpu_ms: now.cpu_ms.saturating_sub(before.cpu_ms),
                written: now.written.saturating_sub(before.written),
                commits: now.commits.saturating_sub(before.commits),
                works: now.works.saturating_sub(before.works),
            };
            (name.clone(), used)
        };
        Self(self.0.iter().map(spent).collect())
    }
}

/// A node that is watched.
struct Watched {
    name: String,
    process: u32,
    dialer: Dialer,
}

/// The processes that are watched.
#[derive(Default)]
pub(super) struct Watch {
    nodes: Vec<Watched>,
}

impl Watch {
    /// Watches one more node.
    pub(super) fn add(&mut self, name: &str, process: u32, dialer: Dialer) {
        self.nodes.push(Watched { name: name.to_owned(), process, dialer });
    }

    /// What all have used by now.
    pub(super) async fn read(&mut self) -> Result<Reading, Fault> {
        let mut reading = BTreeMap::from([(GENERATOR.to_owned(), process(std::process::id()))]);
        for node in &self.nodes {
            let mut used = process(node.process);
            // A connection for each look: a node closes those that are idle for long.
            let mut line = Line::open(&node.dialer).await?;
            let (_, page) = line.exchange(&line::get(&node.dialer.authority(), "/metrics")).await?;
            let page = String::from_utf8_lossy(page);
            used.commits = figure(&page, "feiqian_store_commits_total");
            used.works = figure(&page, "feiqian_store_works_total");
            reading.insert(node.name.clone(), used);
        }
        Ok(Reading(reading))
    }
}

/// The value of a figure without labels; 0 where it does not stand.
fn figure(page: &str, name: &str) -> u64 {
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
    value.unwrap_or(0)
}

fn process(id: u32) -> Used {
    let file = |name: &str| std::fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default();
    Used { cpu_ms: cpu_ms(&file("stat")), written: written(&file("io")), ..Used::default() }
}

/// User and system time in a line of `/proc/PID/stat`. The name in it may hold blanks and brackets: fields are counted
/// from the last bracket on.
fn cpu_ms(stat: &str) -> u64 {
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    ticks.fold(0_u64, u64::saturating_add).saturating_mul(TICK_MS)
}

fn written(io: &str) -> u64 {
    io.lines().find_map(|line| line.strip_prefix("write_bytes:")?.trim().parse().ok()).unwrap_or(0)
}

/// How long this disk takes to make 4 KiB at the end of a file durable: median and 99th percentile, microseconds.
///
/// # Errors
/// `INTERNAL` when no file can be written in `folder`.
pub(super) fn flush_times(folder: &Path) -> Result<[u64; 2], Fault> {
    let path = folder.join("flush-times");
    let timed = time_flushes(&path)
        .map_err(|error| Fault::new(Code::Internal, format!("cannot write {}: {error}", path.display())));
    let _ = std::fs::remove_file(&path);
    let mut times = timed?;
    times.sort_unstable();
    Ok([50, 99].map(|percent| super::super::percentile(&times, percent)))
}

fn time_flushes(path: &Path) -> std::io::Result<Vec<u64>> {
    let mut file = std::fs::File::create(path)?;
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        let begun = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        times.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 700 35 0 0 20 0";
        assert_eq!(cpu_ms(stat), 7350);
        assert_eq!(written("rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n"), 4096);
        let page = "feiqian_store_works_total_more 9\n# x\nfeiqian_store_works_total 12\n";
        assert_eq!([figure(page, "feiqian_store_works_total"), figure(page, "absent")], [12, 0]);
    }
}
