//! Loom models of the protocols in `src/sync` of mainspring; run them with `RUSTFLAGS="--cfg loom"`.
