//! Test only: storms with faults against the real binary, and the history checker's driver.
