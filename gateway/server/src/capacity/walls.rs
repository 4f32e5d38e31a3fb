//! What gives way first when a sale grows.
//!
//! A wall is one thing that runs out, with how many times the asked load fits before it does. Of
//! two walls the lower is met first.

use serde::Serialize;
use sluice_domain::lane::{LANES_MAX, SHARDS_MAX};

use super::costs::Costs;
use super::demand::Demand;
use super::need::{Busy, Engine, Need};

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// One thing that runs out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Wall {
    /// What runs out, as the middle of a sentence.
    pub(crate) what: &'static str,
    /// How many times the asked load fits.
    pub(crate) fits: f64,
    /// What moves the wall, as the end of a sentence.
    pub(crate) remedy: &'static str,
}

/// All walls of one way of setting it up, the lowest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Walls(Vec<Wall>);

// === impl Walls ===

impl Walls {
    /// Everything on one machine: one gateway, SQLite, one Redis, one shard.
    pub(crate) fn of_one_machine(busy: &Busy, demand: &Demand, costs: &Costs) -> Self {
        let (machine, load) = (&costs.machine, costs.machine.load.value);
        let bytes = busy.connection_bytes + busy.gateway_bytes + busy.redis_bytes;
        Self::sorted(vec![
            Wall {
                what: "the cores of the machine",
                fits: machine.cores.value * load / (busy.edge_cores + busy.redis_cores),
                remedy: "more gateways, which takes the CQL ledger",
            },
            Wall {
                what: "the one thread of the one Redis",
                fits: load / busy.redis_cores,
                remedy: "more primaries, and shards for a coupon that fills one alone",
            },
            Wall {
                what: "the one writer of SQLite",
                fits: load / busy.sqlite_cores,
                remedy: "the CQL ledger",
            },
            Wall {
                what: "the memory of the machine",
                fits: machine.memory_gib.value * GIB * load / bytes,
                remedy: "more gateways, or a load balancer that keeps the idle connections",
            },
            network(busy, machine.network_gbit_per_s.value * load),
            packets(demand, machine.packets_per_s.value * load),
        ])
    }

    /// What was planned, where more of the same can be bought.
    pub(crate) fn of_plan(need: &Need, demand: &Demand, costs: &Costs) -> Self {
        let (machine, load) = (&costs.machine, costs.machine.load.value);
        let machines = need.machines as f64;
        let busy = &need.busy;
        let shared = (machine.memory_gib.value * GIB * load - busy.gateway_bytes) * machines;
        let mut walls = vec![
            Wall {
                what: "the cores of the gateways",
                fits: machines * machine.cores.value * load / busy.edge_cores,
                remedy: "more gateways",
            },
            Wall {
                what: "the threads of the Redis primaries",
                fits: need.primaries as f64 * load / busy.redis_cores,
                remedy: "more primaries, over which the lanes spread",
            },
            Wall {
                what: "the shards of a coupon",
                fits: need.shards as f64 * load / busy.coupon_redis_cores,
                remedy: "more shards, set before the coupon is published",
            },
            Wall {
                what: "the memory for connections",
                fits: shared / busy.connection_bytes,
                remedy: "more gateways, or a load balancer that keeps the idle connections",
            },
            network(busy, machines * machine.network_gbit_per_s.value * load),
            packets(demand, machines * machine.packets_per_s.value * load),
        ];
        walls.push(match need.engine {
            Engine::Sqlite => Wall {
                what: "the one writer of SQLite",
                fits: load / busy.sqlite_cores,
                remedy: "the CQL ledger",
            },
            Engine::Cql => Wall {
                what: "the ledger's nodes",
                fits: need.ledger_nodes as f64 * costs.ledger.cql_rows_per_node_per_s.value
                    / demand.peak.granted,
                remedy: "more nodes",
            },
        });
        Self::sorted(walls)
    }

    /// What no machine moves: bounds of the program.
    pub(crate) fn of_program(busy: &Busy, costs: &Costs) -> Self {
        let load = costs.machine.load.value;
        Self::sorted(vec![
            Wall {
                what: "the most shards that one coupon may have",
                fits: f64::from(SHARDS_MAX) * load / busy.coupon_redis_cores,
                remedy: "several coupons, or a cheaper claim",
            },
            Wall {
                what: "the most lanes that a ledger may have, each on a primary of its own",
                fits: f64::from(LANES_MAX) * load / busy.redis_cores,
                remedy: "a second installation, or a cheaper claim",
            },
        ])
    }

    fn sorted(mut walls: Vec<Wall>) -> Self {
        walls.sort_by(|one, other| one.fits.total_cmp(&other.fits));
        Self(walls)
    }

    /// The one that is met first.
    pub(crate) fn first(&self) -> Option<&Wall> {
        self.0.first()
    }

    /// The one that is met when the first has been moved.
    pub(crate) fn next(&self) -> Option<&Wall> {
        self.0.get(1)
    }
}

fn network(busy: &Busy, gbit: f64) -> Wall {
    Wall {
        what: "the network of the gateways",
        fits: gbit / busy.gbit_in.max(busy.gbit_out),
        remedy: "more gateways",
    }
}

fn packets(demand: &Demand, packets: f64) -> Wall {
    Wall {
        what: "the packets that the gateways take in",
        fits: packets / demand.peak.all(),
        remedy: "more gateways",
    }
}

#[cfg(test)]
mod tests {
    use super::super::demand::Sale;
    use super::super::demand::tests::giant;
    use super::*;

    #[test]
    fn the_plan_carries_what_is_asked_and_the_walls_come_in_order() {
        let costs = Costs::built_in().unwrap();
        for (seconds, sales) in [(1.0, 1), (10.0, 1), (10.0, 500), (3_600.0, 20)] {
            let sale = Sale {
                seconds,
                sales,
                ..giant()
            };
            let demand = sale.demand().unwrap();
            let need = Need::of(&sale, &demand, &costs);
            for walls in [
                Walls::of_plan(&need, &demand, &costs),
                Walls::of_one_machine(&need.busy, &demand, &costs),
                Walls::of_program(&need.busy, &costs),
            ] {
                assert!(walls.0.is_sorted_by(|one, other| one.fits <= other.fits));
                assert_eq!(walls.first(), walls.0.first());
            }
            let plan = Walls::of_plan(&need, &demand, &costs);
            for wall in &plan.0 {
                assert!(wall.fits >= 1.0 - 1e-9, "{sale:?}: {wall:?}");
            }
        }
    }

    /// Twice the cost of the lowest wall halves what fits, and nothing else about it.
    #[test]
    fn a_wall_moves_with_its_cost() {
        let costs = Costs::built_in().unwrap();
        let mut dear = costs.clone();
        dear.ledger.sqlite_row_us.value *= 2.0;
        let sale = giant();
        let demand = sale.demand().unwrap();
        let writer = |costs: &Costs| {
            let busy = Busy::of(&sale, &demand, costs);
            let walls = Walls::of_one_machine(&busy, &demand, costs);
            let of = |wall: &&Wall| wall.what.contains("SQLite");
            walls.0.iter().find(of).unwrap().fits
        };
        assert!((writer(&costs) / writer(&dear) - 2.0).abs() < 1e-9);
    }
}
