//! The answer in words: a table, then what gives way first, in sentences.

use std::fmt::Write as _;

use super::demand::Class;
use super::need::Engine;
use super::report::Report;
use super::walls::Walls;
use super::whole;

const MIB: f64 = 1024.0 * 1024.0;
const GIB: f64 = 1024.0 * MIB;

/// A number with commas: whole from a hundred on, below with at most three figures.
fn number(value: f64) -> String {
    if value >= 99.95 {
        let digits = whole(value.round()).to_string();
        let mut grouped = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    } else if value >= 9.995 {
        trimmed(&format!("{value:.1}"))
    } else if value >= 0.01 || value == 0.0 {
        trimmed(&format!("{value:.2}"))
    } else {
        format!("{value:.1e}")
    }
}

/// Without zeros at the end that say nothing.
fn trimmed(decimal: &str) -> String {
    let shorter = decimal.trim_end_matches('0');
    shorter.trim_end_matches('.').to_owned()
}

fn count(value: u64) -> String {
    number(value as f64)
}

/// How often the asked load fits, as words.
fn fits(value: f64) -> String {
    if value < 1.0 {
        format!("{} of what is asked", number(value))
    } else {
        format!("{} times what is asked", number(value))
    }
}

// === impl Report ===

impl Report {
    /// For people.
    pub(crate) fn words(&self) -> String {
        let mut text = self.question();
        let rows = self.rows();
        for (what, much, why) in rows {
            let line = format!("{what:<27} {much:>14}  {why}");
            // Writing into a string has no way to fail.
            writeln!(text, "{}", line.trim_end()).unwrap_or_default();
        }
        text.push('\n');
        text.push_str(&self.limits());
        text.push('\n');
        for (origin, paths) in [
            ("Measured", &self.figures.measured),
            ("Derived", &self.figures.derived),
            ("Assumed", &self.figures.assumed),
        ] {
            let paths = if paths.is_empty() {
                "nothing".to_owned()
            } else {
                paths.join(", ")
            };
            text.push_str(&wrapped(&format!("{origin}: {paths}.")));
        }
        text
    }

    fn question(&self) -> String {
        let sale = &self.sale;
        let class = match sale.class {
            Class::Hot => "hot",
            Class::Ledger => "ledger",
        };
        let coupons = if sale.sales == 1 {
            "one coupon".to_owned()
        } else {
            format!("{} coupons", count(sale.sales))
        };
        let asked = format!(
            "{} users within {} s for {} units of {coupons}, class {class}. Each asks {} more times; the busiest second \
             has {} times the mean; units are handed out within {} s, one to a user.",
            count(sale.users),
            number(sale.seconds),
            count(sale.coupons),
            number(sale.reloads),
            number(sale.peak),
            number(sale.grant_seconds),
        );
        wrapped(&asked) + "\n"
    }

    fn rows(&self) -> Vec<(&'static str, String, String)> {
        let mut rows = self.request_rows();
        rows.extend(self.machine_rows());
        rows.extend(self.store_rows());
        rows.extend(self.money_rows());
        rows
    }

    fn request_rows(&self) -> Vec<(&'static str, String, String)> {
        let (total, peak) = (&self.demand.total, &self.demand.peak);
        let share = |part: f64, all: f64| format!("{:.1} %", part * 100.0 / all);
        let of_both = |of_total: f64, of_peak: f64| {
            format!(
                "{} of the peak; {} of all",
                share(of_peak, peak.all()),
                share(of_total, total.all())
            )
        };
        vec![
            ("requests in all", number(total.all()), String::new()),
            ("requests/s at the peak", number(peak.all()), String::new()),
            (
                "  granted/s",
                number(peak.granted),
                of_both(total.granted, peak.granted),
            ),
            (
                "  repeats answered/s",
                number(peak.replayed),
                of_both(total.replayed, peak.replayed),
            ),
            (
                "  refused/s",
                number(peak.refused),
                of_both(total.refused, peak.refused),
            ),
        ]
    }

    fn machine_rows(&self) -> Vec<(&'static str, String, String)> {
        let (need, busy) = (&self.need, &self.need.busy);
        let by = &need.machines_for;
        let connections = busy.connection_bytes / GIB;
        vec![
            (
                "edge cores",
                count(need.edge_cores),
                format!(
                    "{} busy, at {:.0} % load",
                    number(busy.edge_cores),
                    self.load * 100.0
                ),
            ),
            (
                "gateway machines",
                count(need.machines),
                format!(
                    "for cores {}, packets {}, network {}, memory {}",
                    by.cores, by.packets, by.network, by.memory
                ),
            ),
            (
                "network in / out",
                format!("{} / {}", number(busy.gbit_in), number(busy.gbit_out)),
                "Gbit/s at the peak".to_owned(),
            ),
            (
                "memory of connections",
                number(connections),
                format!(
                    "GiB, {} open at once; in the gateway and in the kernel",
                    number(self.demand.connections)
                ),
            ),
            (
                "memory of each gateway",
                number(busy.gateway_bytes / MIB),
                "MiB more for definitions and winner filters".to_owned(),
            ),
        ]
    }

    fn store_rows(&self) -> Vec<(&'static str, String, String)> {
        let (need, busy) = (&self.need, &self.need.busy);
        let ledger = match need.engine {
            Engine::Sqlite => "SQLite, in the one gateway",
            Engine::Cql => "CQL, three copies",
        };
        vec![
            (
                "Redis primaries",
                count(need.primaries),
                format!(
                    "{} threads busy; one decides {} grants/s",
                    number(busy.redis_cores),
                    number(need.grants_per_primary)
                ),
            ),
            (
                "shards of a coupon",
                count(need.shards),
                format!(
                    "grants and repeats keep {} threads busy; lanes at least as many",
                    number(busy.coupon_redis_cores)
                ),
            ),
            (
                "Redis memory",
                number(busy.redis_bytes / GIB),
                "GiB, one copy, with nothing drained yet".to_owned(),
            ),
            ("ledger nodes", count(need.ledger_nodes), ledger.to_owned()),
            (
                "SQLite would write",
                number(need.sqlite_rows),
                format!("claims/s; asked {}", number(self.demand.peak.granted)),
            ),
            (
                "ledger on disk",
                number(need.ledger_bytes / GIB),
                "GiB, all copies".to_owned(),
            ),
            (
                "quotes/s after the rush",
                number(self.demand.quotes),
                format!("over {} s", number(self.sale.checkout_seconds)),
            ),
        ]
    }

    fn money_rows(&self) -> Vec<(&'static str, String, String)> {
        let (need, money) = (&self.need, &self.need.money);
        vec![(
            "money",
            number(money.all),
            format!(
                "for {} h: {} for {} cores, {} for {} GiB, {} for {} TB out",
                number(self.sale.hours),
                number(money.cores),
                number(need.all_cores),
                number(money.memory),
                number(need.all_gib),
                number(money.egress),
                number(need.egress_tb),
            ),
        )]
    }

    /// What gives way first, in sentences.
    fn limits(&self) -> String {
        let mut text = String::new();
        for (of, walls, moved) in [
            ("On one machine", &self.one_machine, true),
            ("In this plan", &self.plan, true),
            (
                "Whatever is bought, with this version",
                &self.program,
                false,
            ),
        ] {
            text.push_str(&wrapped(&sentence(of, walls, moved)));
        }
        text
    }
}

fn sentence(of: &str, walls: &Walls, names_next: bool) -> String {
    let Some(first) = walls.first() else {
        return String::new();
    };
    let mut text = format!(
        "{of} the first limit is {}, at {}; it is moved by {}.",
        first.what,
        fits(first.fits),
        first.remedy
    );
    if let Some(next) = walls.next().filter(|_next| names_next) {
        // Writing into a string has no way to fail.
        write!(
            text,
            " The next one is {}, at {}: {}.",
            next.what,
            fits(next.fits),
            next.remedy
        )
        .unwrap_or_default();
    }
    text
}

/// Lines of at most a hundred letters.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 100;
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        if width > 0 && width + 1 + word.len() > WIDTH {
            lines.push('\n');
            width = 0;
        }
        if width > 0 {
            lines.push(' ');
            width += 1;
        }
        lines.push_str(word);
        width += word.len();
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::super::costs::Costs;
    use super::super::demand::tests::giant;
    use super::*;

    /// Letters of a line that every terminal shows.
    const LINE: usize = 120;

    #[test]
    fn numbers_are_for_people() {
        let said = [
            (5_000_000.0, "5,000,000"),
            (100.0, "100"),
            (99.96, "100"),
            (12.345, "12.3"),
            (9.999, "10"),
            (1.5, "1.5"),
            (1.07, "1.07"),
            (3.0, "3"),
            (0.0, "0"),
            (0.000_12, "1.2e-4"),
            (1_234_567.0, "1,234,567"),
        ];
        for (value, text) in said {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn no_line_is_wide_and_the_first_limit_is_said() {
        let report = Report::of(&giant(), &Costs::built_in().unwrap()).unwrap();
        let words = report.words();
        for line in words.lines() {
            assert!(line.len() <= LINE, "{line}");
        }
        for of in ["On one machine", "In this plan", "with this version"] {
            assert!(words.contains(&format!("{of} the first limit is")), "{of}");
        }
        let first = report.one_machine.first().unwrap();
        assert!(words.replace('\n', " ").contains(first.what), "{words}");
    }
}
