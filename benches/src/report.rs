//! What was measured, as tables for people.

#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "tables for people")]

use bytesize::ByteSize;

use crate::compare::{Comparison, Measured, Night};
use crate::measure::Cost;

/// So many first nights are shown one by one; of the others, the average.
const SHOWN: usize = 3;

/// Prints everything, or with less detail the first nights and an average of the rest.
pub(crate) fn print(comparison: &Comparison, every: bool) {
    let bytes: u64 = comparison.nights.iter().sum();
    println!("{}: {} nights, {}", comparison.data, comparison.nights.len(), size(bytes));
    for measured in &comparison.tools {
        println!("{}: {}", measured.tool, measured.version);
    }
    println!();
    println!(
        "{:<12} {:<16} {:>14} {:>8} {:>8} {:>8} {:>12}",
        "night", "tool", "bytes added", "ratio", "seconds", "MB/s", "peak memory"
    );
    let count = comparison.nights.len();
    let shown = if every || count <= SHOWN + 1 { count } else { SHOWN };
    for place in 0..shown {
        nights(comparison, &format!("{}", place + 1), place, 1, true);
    }
    if shown < count {
        nights(comparison, &format!("{}-{count} (avg)", shown + 1), shown, count - shown, true);
    }
    nights(comparison, "all", 0, count, false);
    restores(comparison);
    collections(comparison);
}

/// A line per tool about `count` nights from `first` on: their average or their sum.
fn nights(comparison: &Comparison, label: &str, first: usize, count: usize, average: bool) {
    let read: u64 = comparison.nights.iter().skip(first).take(count).sum();
    let added = |measured: &Measured| -> u64 {
        let nights = measured.nights.iter().skip(first).take(count);
        nights.map(|night: &Night| night.bytes_added).sum()
    };
    let reference = comparison.tools.first().map_or(0, added);
    for measured in &comparison.tools {
        let nights = || measured.nights.iter().skip(first).take(count);
        let divisor = if average { count } else { 1 } as f64;
        let seconds: f64 = nights().map(|night| night.cost.seconds).sum();
        let memory = nights().map(|night| night.cost.memory).max().unwrap_or(0);
        println!(
            "{label:<12} {:<16} {:>14.0} {:>7.2}x {:>8.2} {:>8.0} {:>12}",
            measured.tool,
            added(measured) as f64 / divisor,
            ratio(added(measured) as f64, reference as f64),
            seconds / divisor,
            read as f64 / 1e6 / seconds,
            size(memory),
        );
    }
}

fn restores(comparison: &Comparison) {
    let read = comparison.nights.last().copied().unwrap_or(0);
    let reference = comparison.tools.first().and_then(|measured| measured.restore);
    println!();
    println!(
        "{:<34} {:>14} {:>8} {:>8} {:>8} {:>12}",
        "restore of the last night", "repository", "seconds", "ratio", "MB/s", "peak memory"
    );
    let line = |name: &str, repository: u64, cost: Option<Cost>| {
        let Some(cost) = cost else { return };
        println!(
            "{name:<34} {repository:>14} {:>8.2} {:>7.2}x {:>8.0} {:>12}",
            cost.seconds,
            ratio(cost.seconds, reference.map_or(0.0, |reference| reference.seconds)),
            read as f64 / 1e6 / cost.seconds,
            size(cost.memory),
        );
    };
    for measured in &comparison.tools {
        line(&measured.tool, measured.repository_bytes, measured.restore);
        let whole = format!("{} of that night alone", measured.tool);
        line(&whole, measured.whole_bytes.unwrap_or(0), measured.whole_restore);
    }
    println!();
    for measured in &comparison.tools {
        if let (Some(last), Some(whole)) = (measured.restore, measured.whole_restore) {
            let times = ratio(last.seconds, whole.seconds);
            println!("{}: the last of many nights takes {times:.2} times as long", measured.tool);
        }
        if let Some(verify) = measured.verify {
            let (seconds, memory) = (verify.seconds, size(verify.memory));
            println!("{}: verify --level data {seconds:.2} s, {memory}", measured.tool);
        }
    }
}

fn collections(comparison: &Comparison) {
    let collected = || comparison.tools.iter().filter_map(|it| Some((it, it.collection?)));
    let Some((_, reference)) = collected().next() else { return };
    println!();
    println!(
        "{:<34} {:>14} {:>14} {:>8} {:>8} {:>12}",
        "what forgotten nights needed", "freed", "left", "seconds", "ratio", "peak memory"
    );
    for (measured, it) in collected() {
        println!(
            "{:<34} {:>14} {:>14} {:>8.2} {:>7.2}x {:>12}",
            measured.tool,
            it.bytes_before.saturating_sub(it.bytes_after),
            it.bytes_after,
            it.cost.seconds,
            ratio(it.cost.seconds, reference.cost.seconds),
            size(it.cost.memory),
        );
    }
}

/// 1 where there is nothing to compare with.
fn ratio(value: f64, reference: f64) -> f64 {
    if reference > 0.0 { value / reference } else { 1.0 }
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}
