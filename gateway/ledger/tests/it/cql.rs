//! The ledger on a real CQL server: one node of Apache Cassandra, shared by these tests.

mod fault;
mod meeting;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlValue, Row};
use sluice_domain::lane::LaneCount;
use sluice_ledger::cql::CqlOptions;
use sluice_ledger::{CqlLedger, testing};

/// Tables that are written with timestamps of their own.
const INDEX_TABLES: [&str; 10] = [
    "coupons_of_lane",
    "claims_by_id",
    "claims_by_user",
    "redemption_ids",
    "redemption_days",
    "redemptions_of_coupon",
    "holds_due",
    "due_slots",
    "notifications_of_user",
    "notifications_due",
];

/// A keyspace of one test, emptied for each new ledger: much faster than making it anew.
pub(crate) struct Keyspace {
    pub(crate) options: CqlOptions,
    session: Session,
}

impl Keyspace {
    pub(crate) async fn new(lanes: LaneCount) -> Self {
        let options = testing::cql_options(lanes);
        CqlLedger::migrate(&options).await.unwrap();
        let session = SessionBuilder::new()
            .known_nodes(&options.nodes)
            .use_keyspace(&options.keyspace, true)
            .build()
            .await
            .unwrap();
        Self { options, session }
    }

    /// A new ledger; those before it are gone.
    pub(crate) async fn ledger(&self) -> CqlLedger {
        self.empty().await;
        CqlLedger::open(&self.options).await.unwrap()
    }

    /// Empties every table but that of migrations: index tables by truncation, as their rows carry
    /// the times of samples, which a deletion of now would not reach; the others, which are many
    /// and hold little, partition by partition, which is faster.
    pub(crate) async fn empty(&self) {
        let keys = "SELECT table_name, column_name, position, kind FROM system_schema.columns \
                    WHERE keyspace_name = ?";
        let rows = self.session.query_unpaged(keys, (&self.options.keyspace,));
        let rows = rows.await.unwrap().into_rows_result().unwrap();
        let mut columns: Vec<(String, i32, String)> = rows
            .rows::<(String, String, i32, String)>()
            .unwrap()
            .map(Result::unwrap)
            .filter(|(table, _column, _place, kind)| {
                table != "migrations" && kind == "partition_key"
            })
            .map(|(table, column, place, _kind)| (table, place, column))
            .collect();
        columns.sort();
        for of_table in columns.chunk_by(|left, right| left.0 == right.0) {
            let table = of_table[0].0.as_str();
            if INDEX_TABLES.contains(&table) {
                let truncate = format!("TRUNCATE {table}");
                self.session.query_unpaged(truncate, ()).await.unwrap();
                continue;
            }
            let names: Vec<&str> = of_table.iter().map(|column| column.2.as_str()).collect();
            self.empty_table(table, &names).await;
        }
    }

    async fn empty_table(&self, table: &str, key: &[&str]) {
        let all = format!("SELECT DISTINCT {} FROM {table}", key.join(", "));
        let rows = self.session.query_unpaged(all, ()).await.unwrap();
        let rows = rows.into_rows_result().unwrap();
        let is: Vec<String> = key.iter().map(|column| format!("{column} = ?")).collect();
        let delete = format!("DELETE FROM {table} WHERE {}", is.join(" AND "));
        let delete = self.session.prepare(delete).await.unwrap();
        for row in rows.rows::<Row>().unwrap() {
            let key: Vec<Option<CqlValue>> = row.unwrap().columns;
            self.session.execute_unpaged(&delete, key).await.unwrap();
        }
    }
}
