//! Nothing: the package has benches alone.
