//! CPU time of processes and of kinds of threads, from `/proc`.

use std::collections::BTreeMap;
use std::ops::{Add, Sub};

use anyhow::Context;

/// Clock ticks per second of `/proc/*/stat` on Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What CPU time was spent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Threads that serve HTTP.
    Edge,
    /// Threads of the keepers alone, where there are any: the drain, leases, recovery.
    Keeper,
    /// The writer of an embedded ledger.
    Ledger,
    /// Everything else of a gateway: admin API, metrics, waiting for children.
    Rest,
    /// A Redis, all of its threads.
    Redis,
}

/// CPU time by part: seconds, or microseconds per request, as whoever holds it says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cpu {
    /// See [`Part::Edge`].
    pub edge: f64,
    /// See [`Part::Keeper`].
    pub keeper: f64,
    /// See [`Part::Ledger`].
    pub ledger: f64,
    /// See [`Part::Rest`].
    pub rest: f64,
    /// See [`Part::Redis`].
    pub redis: f64,
}

/// How the threads of a process are counted.
#[derive(Debug, Clone, Copy)]
enum Counted {
    /// Each by its name: a gateway.
    ByName,
    /// All as one part.
    As(Part),
}

/// Reads the CPU time of one contender: some processes, each counted in its way.
#[derive(Debug, Default)]
pub struct Meter {
    processes: Vec<(u32, Counted)>,
}

impl Cpu {
    /// All parts.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.edge + self.keeper + self.ledger + self.rest + self.redis
    }

    /// What decides a claim: the edge and Redis.
    #[must_use]
    pub fn deciding(&self) -> f64 {
        self.edge + self.redis
    }

    /// Every part by the same factor.
    #[must_use]
    pub fn scaled(self, by: f64) -> Self {
        Self {
            edge: self.edge * by,
            keeper: self.keeper * by,
            ledger: self.ledger * by,
            rest: self.rest * by,
            redis: self.redis * by,
        }
    }

    fn part(&mut self, part: Part) -> &mut f64 {
        match part {
            Part::Edge => &mut self.edge,
            Part::Keeper => &mut self.keeper,
            Part::Ledger => &mut self.ledger,
            Part::Rest => &mut self.rest,
            Part::Redis => &mut self.redis,
        }
    }
}

impl Add for Cpu {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            edge: self.edge + other.edge,
            keeper: self.keeper + other.keeper,
            ledger: self.ledger + other.ledger,
            rest: self.rest + other.rest,
            redis: self.redis + other.redis,
        }
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + other.scaled(-1.0)
    }
}

impl Meter {
    /// Counts a gateway's threads by their names.
    #[must_use]
    pub fn gateway(mut self, pid: u32) -> Self {
        self.processes.push((pid, Counted::ByName));
        self
    }

    /// Counts a process as one part.
    #[must_use]
    pub fn process(mut self, pid: u32, part: Part) -> Self {
        self.processes.push((pid, Counted::As(part)));
        self
    }

    /// CPU seconds so far.
    ///
    /// # Errors
    /// Where a process is gone.
    pub fn read(&self) -> anyhow::Result<Cpu> {
        let mut cpu = Cpu::default();
        for &(pid, counted) in &self.processes {
            for (name, seconds) in by_thread(pid)? {
                let part = match counted {
                    Counted::ByName => part_of(&name),
                    Counted::As(part) => part,
                };
                *cpu.part(part) += seconds;
            }
        }
        Ok(cpu)
    }
}

/// What a gateway's thread is for, by its name. Keepers without threads of their own run on those of
/// the data plane, and are then counted with the edge.
fn part_of(thread: &str) -> Part {
    match thread {
        "data" => Part::Edge,
        "keeper" => Part::Keeper,
        name if name.starts_with("ledger") => Part::Ledger,
        _other => Part::Rest,
    }
}

/// Seconds of CPU, user and system, that a process has used, ended threads included; in steps of
/// 10 ms.
///
/// # Errors
/// Where it is gone.
pub fn seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid}"))?;
    ticks(&stat)
}

/// Seconds of CPU of the living threads of a process, by their names; to the nanosecond where the
/// kernel keeps count of it. Threads that ended are not in it.
///
/// # Errors
/// Where the process is gone.
pub fn by_thread(pid: u32) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    let tasks = format!("/proc/{pid}/task");
    for task in std::fs::read_dir(&tasks).with_context(|| format!("process {pid}"))? {
        let task = task?.path();
        let read = |file: &str| std::fs::read_to_string(task.join(file));
        // A thread may end while we look.
        let (Ok(name), Ok(stat)) = (read("comm"), read("stat")) else {
            continue;
        };
        let precise = read("schedstat").ok().and_then(|text| nanoseconds(&text));
        let used = match precise {
            Some(seconds) => seconds,
            None => ticks(&stat)?,
        };
        *found.entry(name.trim_end().to_owned()).or_default() += used;
    }
    Ok(found)
}

/// The processes that a process has started and that still run.
///
/// # Errors
/// Where it is gone.
pub fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .with_context(|| format!("process {pid}"))?;
    let numbers = text.split_whitespace().map(str::parse);
    Ok(numbers.collect::<Result<_, _>>()?)
}

/// User and system time of a line of `stat`.
fn ticks(stat: &str) -> anyhow::Result<f64> {
    // The name in parentheses may hold blanks; fields are counted after it: utime and stime are the
    // 14th and 15th of all, the 12th and 13th after the name.
    let after = stat.rsplit_once(')').context("no name")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |index: usize| -> anyhow::Result<f64> {
        Ok(fields.get(index).context("too few fields")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// Time on a CPU: the first number of `schedstat`. `None` where the kernel does not count.
fn nanoseconds(schedstat: &str) -> Option<f64> {
    let nanoseconds: f64 = schedstat.split_whitespace().next()?.parse().ok()?;
    (nanoseconds > 0.0).then_some(nanoseconds / 1e9)
}

#[cfg(test)]
mod tests {
    use super::{Cpu, Meter, Part, by_thread, children, nanoseconds, part_of, seconds, ticks};

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 100";
        assert_eq!(ticks(stat).unwrap(), 2.0);
        assert!(ticks("7 no name").is_err());
    }

    #[test]
    fn a_kernel_that_does_not_count_is_no_zero() {
        assert_eq!(nanoseconds("2500000000 17 3\n"), Some(2.5));
        assert_eq!(nanoseconds("0 0 0\n"), None);
        assert_eq!(nanoseconds(""), None);
    }

    #[test]
    fn threads_are_told_apart_by_name() {
        assert_eq!(part_of("data"), Part::Edge);
        assert_eq!(part_of("ledger-writer"), Part::Ledger);
        assert_eq!(part_of("keeper"), Part::Keeper);
        assert_eq!(part_of("control"), Part::Rest);
    }

    #[test]
    fn the_time_of_this_process_is_read_and_grows() {
        let own = std::process::id();
        let meter = Meter::default().process(own, Part::Redis);
        let before = meter.read().unwrap();
        let mut sum = 0_u64;
        while (meter.read().unwrap() - before).redis < 0.001 {
            sum = std::hint::black_box(sum.wrapping_mul(3) + 1);
        }
        let used = meter.read().unwrap() - before;
        assert!(used.redis > 0.0 && used.total() == used.redis, "{used:?}");
        assert!(seconds(own).unwrap() >= 0.0);
        assert!(!by_thread(own).unwrap().is_empty());
    }

    #[test]
    fn a_child_is_found() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It is the child of the thread that started it, which need not be the first one.
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let found = tasks.filter_map(Result::ok).any(|task| {
            std::fs::read_to_string(task.path().join("children")).is_ok_and(|text| {
                text.split_whitespace()
                    .any(|pid| pid == child.id().to_string())
            })
        });
        assert!(found && children(child.id()).unwrap().is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn parts_add_up() {
        let cpu = Cpu {
            edge: 1.0,
            keeper: 2.0,
            ledger: 4.0,
            rest: 8.0,
            redis: 16.0,
        };
        assert_eq!((cpu.total(), cpu.deciding()), (31.0, 17.0));
        assert_eq!((cpu + cpu - cpu).scaled(2.0).redis, 32.0);
    }
}
