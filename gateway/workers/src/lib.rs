//! Workers: lane keeper, recovery, reconcile: everything with a clock or a queue.
