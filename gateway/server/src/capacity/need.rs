//! What a demand takes: cores, machines, Redis, memory, the ledger, the network, money.

use serde::Serialize;
use sluice_domain::lane::SHARDS_MAX;

use super::costs::Costs;
use super::demand::{Class, Demand, Requests, Sale};
use super::{at_least_one, whole};

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
/// Copies that a CQL ledger keeps, and nodes that it takes for them.
const COPIES: f64 = 3.0;

/// Which ledger does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Engine {
    /// One process, one disk.
    Sqlite,
    /// Several gateways.
    Cql,
}

/// What the busiest second keeps busy, in whole cores and parts of them, and what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Busy {
    /// Cores of the gateways.
    pub(crate) edge_cores: f64,
    /// Cores of Redis; each primary decides in one thread.
    pub(crate) redis_cores: f64,
    /// Of these, what the grants and repeats of one coupon take, which its shards share.
    pub(crate) coupon_redis_cores: f64,
    /// Cores of the one writer of SQLite.
    pub(crate) sqlite_cores: f64,
    /// Gigabits per second into and out of the gateways.
    pub(crate) gbit_in: f64,
    /// See `gbit_in`.
    pub(crate) gbit_out: f64,
    /// Bytes of open connections: the gateway's, and the kernel's.
    pub(crate) connection_bytes: f64,
    /// Bytes that every gateway holds whatever its share: definitions and winner filters.
    pub(crate) gateway_bytes: f64,
    /// Bytes in Redis, one copy.
    pub(crate) redis_bytes: f64,
}

/// What to set up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Need {
    /// What is kept busy.
    pub(crate) busy: Busy,
    /// Cores for the gateways at the load that the costs name.
    pub(crate) edge_cores: u64,
    /// Gateway machines.
    pub(crate) machines: u64,
    /// How many of them each thing alone would take.
    pub(crate) machines_for: MachinesFor,
    /// Redis primaries.
    pub(crate) primaries: u64,
    /// Grants per second that one primary decides.
    pub(crate) grants_per_primary: f64,
    /// Shards of each coupon.
    pub(crate) shards: u64,
    /// Claims per second that SQLite writes.
    pub(crate) sqlite_rows: f64,
    /// The ledger that does.
    pub(crate) engine: Engine,
    /// Its nodes; 1 with SQLite.
    pub(crate) ledger_nodes: u64,
    /// Bytes of the claims on disk, all copies.
    pub(crate) ledger_bytes: f64,
    /// Terabytes out of the gateways, in all.
    pub(crate) egress_tb: f64,
    /// Cores of everything.
    pub(crate) all_cores: f64,
    /// GiB of memory of everything, Redis with one replica each.
    pub(crate) all_gib: f64,
    /// What it costs.
    pub(crate) money: Money,
}

/// Gateway machines by what they are needed for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct MachinesFor {
    pub(crate) cores: u64,
    pub(crate) network: u64,
    pub(crate) packets: u64,
    pub(crate) memory: u64,
}

/// In the currency of the prices.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(crate) struct Money {
    pub(crate) cores: f64,
    pub(crate) memory: f64,
    pub(crate) egress: f64,
    pub(crate) all: f64,
}

/// Gateway and Redis microseconds of one granted claim.
fn granted(costs: &Costs, class: Class) -> (f64, f64) {
    let cpu = &costs.cpu;
    match class {
        Class::Hot => (
            cpu.granted_hot_gateway_us.value,
            cpu.granted_hot_redis_us.value,
        ),
        Class::Ledger => (
            cpu.granted_ledger_gateway_us.value,
            cpu.granted_ledger_redis_us.value,
        ),
    }
}

/// Bytes into and out of the gateways.
fn bytes(requests: &Requests, costs: &Costs) -> (f64, f64) {
    let wire = &costs.wire;
    let around = wire.packet_overhead_bytes.value;
    let coming = requests.all() * (wire.request_bytes.value + around);
    let with_claim = (requests.granted + requests.replayed) * wire.granted_answer_bytes.value;
    let without = requests.refused * wire.refused_answer_bytes.value;
    (coming, with_claim + without + requests.all() * around)
}

// === impl Busy ===

impl Busy {
    /// What a demand keeps busy.
    pub(crate) fn of(sale: &Sale, demand: &Demand, costs: &Costs) -> Self {
        let (cpu, memory) = (&costs.cpu, &costs.memory);
        let (gateway_us, redis_us) = granted(costs, sale.class);
        let peak = &demand.peak;
        let rush = peak.granted * gateway_us
            + peak.replayed * cpu.replay_gateway_us.value
            + peak.refused * cpu.sold_out_gateway_us.value;
        let decided = peak.granted * redis_us + peak.replayed * cpu.replay_redis_us.value;
        let redis = decided + peak.refused * cpu.sold_out_redis_us.value;
        // Quotes come after the rush, with the same cores: the busier of the two counts.
        let quotes = demand.quotes * cpu.quote_gateway_us.value;
        let (coming, going) = bytes(peak, costs);
        let each = memory.connection_bytes.value + memory.connection_kernel_bytes.value;
        let sales = sale.sales as f64;
        Self {
            edge_cores: rush.max(quotes) / 1e6,
            redis_cores: redis / 1e6,
            coupon_redis_cores: decided / sales / 1e6,
            sqlite_cores: peak.granted * costs.ledger.sqlite_row_us.value / 1e6,
            gbit_in: coming * 8.0 / 1e9,
            gbit_out: going * 8.0 / 1e9,
            connection_bytes: demand.connections * each,
            gateway_bytes: sales * memory.definition_bytes.value
                + demand.winners * memory.winner_filter_bytes.value,
            // At worst no claim has left the outbox yet.
            redis_bytes: sales * memory.coupon_redis_bytes.value
                + demand.winners
                    * (memory.winner_redis_bytes.value + memory.outbox_claim_bytes.value),
        }
    }
}

// === impl Need ===

impl Need {
    /// What a demand takes.
    pub(crate) fn of(sale: &Sale, demand: &Demand, costs: &Costs) -> Self {
        let busy = Busy::of(sale, demand, costs);
        let (machine, load) = (&costs.machine, costs.machine.load.value);
        let memory_bytes = machine.memory_gib.value * GIB * load;
        let edge_cores = at_least_one(busy.edge_cores / load);
        let machines_for = MachinesFor {
            cores: at_least_one(busy.edge_cores / load / machine.cores.value),
            network: at_least_one(
                busy.gbit_in.max(busy.gbit_out) / load / machine.network_gbit_per_s.value,
            ),
            packets: at_least_one(demand.peak.all() / load / machine.packets_per_s.value),
            memory: at_least_one(
                busy.connection_bytes / (memory_bytes - busy.gateway_bytes).max(1.0),
            ),
        };
        let machines = machines_for.most();
        let primaries = at_least_one(busy.redis_cores / load)
            .max(at_least_one(busy.redis_bytes / memory_bytes));
        let sqlite_rows = load * 1e6 / costs.ledger.sqlite_row_us.value;
        let does = machines == 1 && busy.sqlite_cores <= load;
        let (engine, ledger_nodes, copies) = if does {
            (Engine::Sqlite, 1, 1.0)
        } else {
            let nodes = demand.peak.granted / costs.ledger.cql_rows_per_node_per_s.value;
            let nodes = at_least_one(nodes).max(whole(COPIES));
            (Engine::Cql, nodes, COPIES)
        };
        let mut need = Self {
            busy,
            edge_cores,
            machines,
            machines_for,
            primaries,
            grants_per_primary: load * 1e6 / granted(costs, sale.class).1,
            shards: at_least_one(busy.coupon_redis_cores / load).min(u64::from(SHARDS_MAX)),
            sqlite_rows,
            engine,
            ledger_nodes,
            ledger_bytes: demand.winners * costs.ledger.row_bytes.value * copies,
            egress_tb: bytes(&demand.total, costs).1 / 1e12,
            all_cores: 0.0,
            all_gib: 0.0,
            money: Money::default(),
        };
        need.price(sale, costs);
        need
    }

    /// Everything together, and what it costs.
    fn price(&mut self, sale: &Sale, costs: &Costs) {
        let machine = &costs.machine;
        let machines = self.machines as f64;
        // SQLite is in the gateway's process.
        let nodes = match self.engine {
            Engine::Sqlite => 0.0,
            Engine::Cql => self.ledger_nodes as f64,
        };
        // Each primary with a replica beside it.
        let redises = 2.0 * self.primaries as f64;
        self.all_cores = self.edge_cores as f64
            + redises * machine.redis_cores.value
            + nodes * machine.cql_node_cores.value;
        let gateways = self.busy.connection_bytes + machines * self.busy.gateway_bytes;
        self.all_gib = (gateways + 2.0 * self.busy.redis_bytes) / machine.load.value / GIB;
        let prices = &costs.prices;
        let cores = self.all_cores * sale.hours * prices.core_hour.value;
        let memory = self.all_gib * sale.hours * prices.gib_hour.value;
        let egress = self.egress_tb * prices.tb_egress.value;
        self.money = Money {
            cores,
            memory,
            egress,
            all: cores + memory + egress,
        };
    }
}

// === impl MachinesFor ===

impl MachinesFor {
    fn most(&self) -> u64 {
        self.cores
            .max(self.network)
            .max(self.packets)
            .max(self.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::super::demand::tests::giant;
    use super::*;

    fn need(sale: &Sale) -> Need {
        Need::of(sale, &sale.demand().unwrap(), &Costs::built_in().unwrap())
    }

    /// By hand from round costs, so that a change of the file changes nothing here.
    #[test]
    fn the_giant_sale_by_hand() {
        let mut costs = Costs::built_in().unwrap();
        costs.cpu.granted_ledger_gateway_us.value = 60.0;
        costs.cpu.granted_ledger_redis_us.value = 20.0;
        costs.cpu.replay_gateway_us.value = 40.0;
        costs.cpu.replay_redis_us.value = 10.0;
        costs.cpu.sold_out_gateway_us.value = 30.0;
        costs.cpu.sold_out_redis_us.value = 0.1;
        costs.machine.load.value = 0.5;
        costs.machine.cores.value = 32.0;
        let sale = giant();
        let need = Need::of(&sale, &sale.demand().unwrap(), &costs);
        // 0.1 M x 60 + 0.3 M x 40 + 4.6 M x 30 = 156 s of CPU per second.
        assert_eq!(need.edge_cores, 312);
        assert_eq!(need.machines_for.cores, 10);
        // 0.1 M x 20 + 0.3 M x 10 + 4.6 M x 0.1 = 5.46.
        assert_eq!(need.primaries, 11);
        assert_eq!(need.grants_per_primary, 25_000.0);
        // 5 of which are the coupon's own.
        assert_eq!(need.shards, 10);
        assert_eq!(need.engine, Engine::Cql);
    }

    #[test]
    fn more_of_anything_never_takes_less() {
        let mut before: Option<Need> = None;
        for users in [1_000, 100_000, 3_000_000, 10_000_000, 40_000_000] {
            let now = need(&Sale {
                users,
                coupons: users / 10,
                ..giant()
            });
            if let Some(before) = before {
                assert!(now.edge_cores >= before.edge_cores);
                assert!(now.primaries >= before.primaries);
                assert!(now.shards >= before.shards);
                assert!(now.ledger_nodes >= before.ledger_nodes);
                assert!(now.money.all >= before.money.all);
            }
            before = Some(now);
        }
    }

    #[test]
    fn a_small_sale_is_one_machine_with_sqlite() {
        let small = need(&Sale {
            users: 20_000,
            coupons: 1_000,
            seconds: 60.0,
            grant_seconds: 60.0,
            ..giant()
        });
        assert_eq!(small.engine, Engine::Sqlite);
        assert_eq!((small.machines, small.primaries, small.shards), (1, 1, 1));
        assert_eq!(small.ledger_nodes, 1);
    }

    #[test]
    fn what_is_set_up_carries_what_is_asked() {
        let costs = Costs::built_in().unwrap();
        for seconds in [1.0, 10.0, 300.0] {
            for sales in [1, 10, 1_000] {
                let sale = Sale {
                    seconds,
                    sales,
                    ..giant()
                };
                let need = need(&sale);
                let load = costs.machine.load.value + 1e-9;
                let machines = need.machines as f64;
                assert!(need.busy.edge_cores <= need.edge_cores as f64 * load);
                assert!(need.busy.redis_cores <= need.primaries as f64 * load);
                assert!(
                    need.busy.gbit_out <= machines * load * costs.machine.network_gbit_per_s.value
                );
            }
        }
    }
}
