//! Each scenario, searched to its last state: no invariant fails in any of them.
//!
//! `NIGHTJAR_MODEL=large` searches the larger bounds.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "nobody hands a test its environment; a test fails by panicking, and says what it saw"
)]

use std::time::Instant;

use nightjar_model::Protocol;
use nightjar_model::scenarios::{ALL, Scenario, Size};
use stateright::{Checker, Model};

fn size() -> Size {
    match std::env::var("NIGHTJAR_MODEL").as_deref() {
        Err(_) => Size::Usual,
        Ok("large") => Size::Large,
        Ok(other) => panic!("NIGHTJAR_MODEL={other}: only \"large\" means something"),
    }
}

fn search(name: &str) {
    let scenario = Scenario::named(name).expect("a scenario of that name");
    let (size, begin) = (size(), Instant::now());
    let protocol = Protocol::new(scenario.configuration(size));
    let threads = if size == Size::Large { 2 } else { 1 };
    // Depth first: that needs the least memory.
    let search = protocol.checker().threads(threads).spawn_dfs().join();
    let states = search.unique_state_count();
    println!("{name}: {states} states, {size:?}, {:.1?}", begin.elapsed());
    assert!(search.is_done(), "{name}: the search stopped early");
    if let Some((invariant, path)) = search.discoveries().into_iter().next() {
        for step in path.into_actions() {
            println!("  {step:?}");
        }
        panic!("{name}: \"{invariant}\" does not hold after these steps");
    }
    if size == Size::Usual {
        assert_eq!(states, scenario.states, "{name}: say so in scenarios.rs");
    }
}

macro_rules! searched {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            search(stringify!($name));
        })*

        #[test]
        fn every_scenario_is_searched() {
            let searched = [$(stringify!($name)),*];
            let all: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
            assert_eq!(all, searched);
        }
    };
}

searched! {
    reuse two_writers everybody renewals rounds pages forgetting chains bases circles damage
    replica replica_behind replica_pages promotion_behind promotion_back promotion_late promotion_twice
}
