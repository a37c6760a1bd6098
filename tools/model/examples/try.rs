//! scratch: try SCENARIO [VARIANT]
use nightjar_model::*;
use stateright::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let limit: usize = std::env::var("LIMIT").ok().and_then(|x| x.parse().ok()).unwrap_or(30_000_000);
    let size = if std::env::var("LARGE").is_ok() { scenarios::Size::Large } else { scenarios::Size::Usual };
    for sc in scenarios::ALL { let (name, make) = (&sc.name, || sc.configuration(size));
        if a[1] != "all" && a[1] != *name { continue; }
        let variants: Vec<Variant> = match a.get(2).map(String::as_str) { None => vec![Variant::None], Some("each") => Variant::BROKEN.to_vec(),
           Some(v) => Variant::BROKEN.iter().copied().filter(|x| format!("{x:?}") == v).collect() };
        for v in variants {
            let t = std::time::Instant::now();
            let b = Protocol::new(make().with(v)).checker().threads(2).target_state_count(limit).finish_when(match std::env::var("PROP") { Err(_) => HasDiscoveries::Any, Ok(p) => HasDiscoveries::AllOf([&*p.leak()].into()) });
            let show = a.len() > 3 || v == Variant::None;
            macro_rules! run { ($done:expr) => {{ let done = $done;
            print!("{name:14} {v:?} {} unique {} generated depth {} in {:?}", done.unique_state_count(), done.state_count(), done.max_depth(), t.elapsed());
            for (p, path) in done.discoveries() { println!(" {name} {v:?} VIOLATED {p} after {}", path.clone().into_actions().len()); println!("{:?}", completion::Completion::default().collect(&make().with(v), &path.last_state().store)); if show { println!("{:#?}", path.last_state()); for a in path.into_actions() { println!("  {a:?}"); } } }
            println!(); }} }
            if v == Variant::None { run!(b.spawn_dfs().join()) } else { run!(b.spawn_bfs().join()) }
        }
    }
}
