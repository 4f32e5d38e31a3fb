//! The section `reminders`.

use std::time::Duration;

use serde::Deserialize;
use sluice_workers::reminders::ReminderSettings;

use super::{Refused, refused};

/// Most reminders of one claim.
const BEFORE_MAX: usize = 4;
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Reminders {
    before: Leads,
    every_ms: u64,
    retention_days: u32,
}

/// How long before the end of a claim, each once, the longest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Leads(Vec<Duration>);

// === impl Leads ===

impl TryFrom<String> for Leads {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parts = text.split(',').map(str::trim);
        let mut leads: Vec<Duration> = parts
            .filter(|part| !part.is_empty())
            .map(lead)
            .collect::<Result<_, _>>()?;
        leads.sort_unstable_by(|one, other| other.cmp(one));
        leads.dedup();
        if leads.len() > BEFORE_MAX {
            return Err(format!("at most {BEFORE_MAX} times are accepted"));
        }
        Ok(Self(leads))
    }
}

fn lead(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time; write it as in \"90m\", \"72h\" or \"3d\"");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let digits = &text[..text.len() - unit.len_utf8()];
    let count: u32 = digits.parse().map_err(|_syntax| wrong())?;
    let lead = Duration::from_secs(u64::from(count) * seconds);
    if (Duration::from_secs(60)..=365 * DAY).contains(&lead) {
        Ok(lead)
    } else {
        Err(format!(
            "\"{text}\" is out of range; 1m to 365d is accepted"
        ))
    }
}

// === impl Reminders ===

impl Reminders {
    /// Settings of the worker.
    pub(crate) fn settings(&self) -> ReminderSettings {
        ReminderSettings {
            before: self.before.0.clone(),
            every: Duration::from_millis(self.every_ms),
            retention: DAY * self.retention_days,
        }
    }

    pub(super) fn validate(&self) -> Result<(), Refused> {
        for (key, value, low, high) in [
            ("every_ms", self.every_ms, 50, 3_600_000),
            ("retention_days", u64::from(self.retention_days), 1, 3_650),
        ] {
            if !(low..=high).contains(&value) {
                let message = format!("is {value}; {low} to {high} is accepted");
                return Err(refused(&format!("reminders.{key}"), &message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_nonsense_is_refused() {
        let read = |text: &str| Leads::try_from(text.to_owned()).map(|leads| leads.0);
        let hours = |count: u64| Duration::from_secs(count * 3_600);
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("72h"), Ok(vec![hours(72)]));
        assert_eq!(
            read("90m, 3d,72h"),
            Ok(vec![hours(72), Duration::from_secs(5_400)])
        );
        for wrong in [
            "72",
            "h",
            "-1h",
            "1.5h",
            "0h",
            "366d",
            "1h,2h,3h,4h,5h",
            "3w",
            "3\u{e4}",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
