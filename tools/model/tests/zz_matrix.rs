use nightjar_model::scenarios::{ALL, Size};
use nightjar_model::{Invariant, Protocol, Variant};
use stateright::{Checker, HasDiscoveries, Model};
#[test]
fn matrix() {
    let only = std::env::var("V").unwrap_or_default();
    for v in Variant::BROKEN.iter().skip(33) {
        if !only.is_empty() && !only.split(',').any(|o| o == format!("{v:?}")) { continue; }
        for s in ALL.iter().filter(|s| s.name.starts_with("promotion")) {
            let p = Protocol::new(s.configuration(Size::Usual).with(*v));
            let b = std::time::Instant::now();
            let c = p.checker().timeout(std::time::Duration::from_secs(15)).finish_when(HasDiscoveries::Any).spawn_bfs().join();
            let d: Vec<_> = c.discoveries().into_iter().map(|(n, p)| (n, p.into_actions())).collect();
            println!("{v:?} {} {} states {:?}: {:?}", s.name, c.unique_state_count(), b.elapsed(), d.iter().map(|(n, p)| (n, p.len())).collect::<Vec<_>>());
            if !only.is_empty() { if let Some((_, p)) = d.first() { for a in p { println!("   {a:?}"); } } }
        }
    }
    let _ = Invariant::ALL;
}
