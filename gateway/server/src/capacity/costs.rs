//! The file of costs: its form, and what is refused.

use serde::{Deserialize, Serialize};

use super::CapacityError;

/// `config/costs.toml`, embedded: the default, and the documentation of every figure.
const DEFAULT: &str = include_str!("../../../../config/costs.toml");

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// By a verb of this repository.
    Measured,
    /// Computed from what was measured, or from the form of what is sent.
    Derived,
    /// By nobody, here.
    Assumed,
}

/// One figure; its unit is the last word of its name.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figure {
    /// The number.
    pub(crate) value: f64,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// Defines a section of the file and the list of its figures from the same names.
macro_rules! section {
    ($(#[$note:meta])* $name:ident { $($field:ident),+ $(,)? }) => {
        $(#[$note])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $(pub(crate) $field: Figure),+
        }

        impl $name {
            fn figures(&self) -> Vec<(&'static str, Figure)> {
                vec![$((stringify!($field), self.$field)),+]
            }
        }
    };
}

section! {
    /// CPU microseconds of one request.
    Cpu {
        granted_hot_gateway_us,
        granted_hot_redis_us,
        granted_ledger_gateway_us,
        granted_ledger_redis_us,
        sold_out_gateway_us,
        sold_out_redis_us,
        replay_gateway_us,
        replay_redis_us,
        quote_gateway_us,
    }
}

section! {
    /// Bytes of one thing that is kept.
    Memory {
        connection_bytes,
        connection_kernel_bytes,
        winner_redis_bytes,
        winner_filter_bytes,
        coupon_redis_bytes,
        definition_bytes,
        outbox_claim_bytes,
    }
}

section! {
    /// What a claim costs in the ledger.
    Ledger {
        sqlite_row_us,
        cql_rows_per_node_per_s,
        row_bytes,
    }
}

section! {
    /// Bytes of one request and of its answer.
    Wire {
        request_bytes,
        granted_answer_bytes,
        refused_answer_bytes,
        packet_overhead_bytes,
    }
}

section! {
    /// What a machine has.
    Machine {
        cores,
        memory_gib,
        network_gbit_per_s,
        packets_per_s,
        load,
        cql_node_cores,
        redis_cores,
    }
}

section! {
    /// What an hour of it costs.
    Prices {
        core_hour,
        gib_hour,
        tb_egress,
    }
}

/// All figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Costs {
    pub(crate) cpu: Cpu,
    pub(crate) memory: Memory,
    pub(crate) ledger: Ledger,
    pub(crate) wire: Wire,
    pub(crate) machine: Machine,
    pub(crate) prices: Prices,
}

// === impl Costs ===

impl Costs {
    /// The figures that this program was built with.
    ///
    /// # Errors
    /// Never with the file of this repository, which a test reads.
    pub(crate) fn built_in() -> Result<Self, CapacityError> {
        Self::parse("config/costs.toml", DEFAULT)
    }

    /// The figures in a text.
    ///
    /// # Errors
    /// With the place and the reason: no TOML, a figure that is missing, unknown, not a number or
    /// outside its range.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, CapacityError> {
        let refuse = |detail: String| CapacityError::Costs {
            name: name.to_owned(),
            detail,
        };
        let costs: Self =
            toml::from_str(text).map_err(|error| refuse(error.to_string().trim().to_owned()))?;
        for (path, figure) in costs.figures() {
            let value = figure.value;
            let free = path.starts_with("prices.");
            if !value.is_finite() || value < 0.0 || (value == 0.0 && !free) {
                return Err(refuse(format!(
                    "{path} is {value}; it has to be a number above 0"
                )));
            }
        }
        let load = costs.machine.load.value;
        if load > 1.0 {
            return Err(refuse(format!(
                "machine.load is {load}; it is a share, above 0 and at most 1"
            )));
        }
        Ok(costs)
    }

    /// Each figure with its path in the file.
    pub(crate) fn figures(&self) -> Vec<(String, Figure)> {
        let sections = [
            ("cpu", self.cpu.figures()),
            ("memory", self.memory.figures()),
            ("ledger", self.ledger.figures()),
            ("wire", self.wire.figures()),
            ("machine", self.machine.figures()),
            ("prices", self.prices.figures()),
        ];
        let named = sections.into_iter().flat_map(|(section, figures)| {
            figures
                .into_iter()
                .map(move |(name, figure)| (format!("{section}.{name}"), figure))
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Costs::parse("x.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn the_file_of_this_repository_is_read() {
        let costs = Costs::built_in().unwrap();
        assert_eq!(costs.figures().len(), 33);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |from: &str, to: &str| {
            assert!(DEFAULT.contains(from), "{from}");
            refusal(&DEFAULT.replacen(from, to, 1))
        };
        let zero = with(
            "sqlite_row_us = { value = 6.9",
            "sqlite_row_us = { value = 0",
        );
        assert!(zero.contains("x.toml: ledger.sqlite_row_us is 0"), "{zero}");
        let nan = with("load = { value = 0.6", "load = { value = nan");
        assert!(nan.contains("machine.load is NaN"), "{nan}");
        let much = with("load = { value = 0.6", "load = { value = 60");
        assert!(much.contains("at most 1"), "{much}");
        let unknown = with("replay_redis_us", "replay_redis_ms");
        assert!(unknown.contains("replay_redis_ms"), "{unknown}");
        let origin = with("\"measured\"", "\"guessed\"");
        assert!(origin.contains("guessed"), "{origin}");
        let missing = with("row_bytes = { value = 220.0, origin = \"assumed\" }", "");
        assert!(missing.contains("row_bytes"), "{missing}");
        assert!(refusal("[cpu").contains("x.toml"));
    }

    #[test]
    fn a_price_may_be_nothing() {
        let free = DEFAULT.replacen("tb_egress = { value = 80.0", "tb_egress = { value = 0.0", 1);
        assert!(Costs::parse("x.toml", &free).is_ok());
    }
}
