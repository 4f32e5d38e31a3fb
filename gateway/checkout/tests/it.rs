//! The checkout on the model ledger and on SQLite.

#[cfg(test)]
mod it {
    mod codes;
    mod explain;
    mod faults;
    mod holds;
    mod limits;
    mod price;
    mod quotes;
    mod races;
    mod refunds;
    mod settling;
    mod shop;
    mod sweeping;
    mod wallet;
}
