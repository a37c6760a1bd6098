//! Retention: which snapshots a policy lets go, and forgetting them with a record.
//!
//! [`policy`] is what somebody wants, [`calendar`] what a day or a week is, [`plan`](mod@plan) says
//! of every snapshot why it stays or goes and changes nothing, [`apply`](mod@apply) forgets what the
//! plan lets go. A plan works on series: snapshots of one never decide about those of another, and a
//! series without a policy loses nothing.
//!
//! # Whose time
//! A snapshot's own times are claims of whoever wrote it, and a write slot can be in anybody's hands.
//! Tools that believe claims can be made to forget: forge snapshots for the days to come, or for
//! those that have gone by, run the policy, and the forged ones stand where the real ones stood.
//! Beside each claim there is the time at which the store says that the snapshot was written. Who may
//! write but not administer the store cannot choose it, for it is always *now*. So a claim counts
//! only if it lies near the store's time, on either side:
//!
//! - A claim *later* than the store's time makes a snapshot the newest for as long as the claim says,
//!   and pushes others beyond the last day or week that is kept.
//! - A claim *earlier* than it takes the place of an old snapshot: of those of one month the newest
//!   stays, and one run could forge the newest of every month there is.
//! - A run that claims to have ended before it began claims anything at all.
//!
//! Such snapshots push none out, do not go themselves, and are reported: by that a forger gains
//! nothing, and nobody loses what a broken clock made. How near is near is the policy's tolerance, a
//! day unless it says otherwise. Within it a forger reaches the buckets of that day, as it would by
//! being there on that day. What it can still do is make many snapshots and wait: against `keep-last`
//! that takes minutes, against `keep-daily 30` a month in which somebody may look. Rules by the
//! calendar are therefore worth more than a number, and a policy may say whose snapshots count.
//!
//! A snapshot that was rewritten (see [`rewrite`](crate::rewrite)) claims the times of the one it was
//! made from, and is believed if a full slot made it: who has one could forget what it likes. As long as
//! both are there, the original alone counts, so that a run that makes many does not push out what is
//! old.
//!
//! A store that was filled from a copy has later times for everything. Nothing would go there, which
//! is safe and of no use, so it can be said until when it was copied: up to then, claims that are
//! earlier than the store's time are believed.
//!
//! Stretches of time count back from a series' newest snapshot and not from today. A series that gets
//! no more snapshots keeps those that it has, and no clock that runs wrong on the machine that applies
//! a policy makes snapshots old. For the same reason a hold does not end by that clock alone, but
//! when the store has seen a snapshot after its time.
//!
//! # What stays
//! The newest snapshot of a series, whatever the policy says. What a rule keeps, a label or a hold. So
//! many as the policy wants at least. Of the snapshots of a day, week, month or year the newest, as
//! restic and borg have it. And all of a series in which one is much smaller than those before it,
//! until somebody has looked: a dump that suddenly has half its size is more likely to lack something
//! than to be right, and then the old ones are what is needed.

mod accept;
pub mod apply;
pub mod calendar;
pub mod plan;
pub mod policy;
mod size;
mod time;

pub use accept::accept;
pub use apply::{Applied, apply};
pub use plan::{Miss, Plan, Planned, Reason, Request, SeriesPlan, plan};
pub use policy::{LabelPattern, PeriodRule, Policy, Preset, Reach};
pub use size::OutOfLine;
pub use time::Doubt;
