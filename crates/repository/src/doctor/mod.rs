//! Looking for what is wrong, in the order in which a person would, before it costs a backup.
//!
//! An examination goes from the outside to the inside: the store ([`store`]), what it permits, tried
//! out on scratch objects below `probe/` that are removed again, then the repository in it and this
//! machine ([`repository`], [`machine`]). Each look is a [`Check`]: what was looked at, what was
//! found, and what to do about it. A check that makes no sense after another failed is skipped and
//! says so, so the list is the same wherever it is made.

pub mod machine;
pub mod repository;
pub mod store;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Ok,
    /// Not looked at: what it needs is not there.
    Skipped,
    /// Something works less well than it could, or not all of it.
    Warning,
    /// Backups or restores fail because of it.
    Failed,
    /// Stored data is damaged, missing or exchanged.
    Damage,
}

impl State {
    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Damage => "damage",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// How it came out.
    pub state: State,
    /// What was found, for people to read.
    pub found: String,
    /// The next step, where one is needed.
    pub advice: Option<String>,
}

impl Check {
    /// All is well.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), advice: None }
    }

    /// It could not be looked at.
    pub fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, state: State::Skipped, found: why.into(), advice: None }
    }

    /// It works, with a drawback.
    pub fn warning(
        name: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            name,
            state: State::Warning,
            found: found.into(),
            advice: Some(advice.into()).filter(|advice| !advice.is_empty()),
        }
    }

    /// It does not work. Our errors name the next step themselves.
    pub fn failed(name: &'static str, error: impl std::error::Error) -> Self {
        Self { name, state: State::Failed, found: with_causes(&error), advice: None }
    }
}

/// An error and the causes that it does not tell itself.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text += &format!(" (because: {more})");
        }
        cause = error.source();
    }
    text
}
