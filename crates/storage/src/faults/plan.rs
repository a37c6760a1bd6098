//! What fails when.

use std::time::Duration;

use object_store::PutMode;

/// When a [`FaultStore`](super::FaultStore) fails, and how. Everything is determined by the plan
/// and the requests.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    pub(super) seed: u64,
    pub(super) rates: FaultRates,
    pub(super) stop: Option<Stop>,
    pub(super) space_bytes: Option<u64>,
    pub(super) unreadable: Option<String>,
    pub(super) locked: Option<String>,
}

/// How often the requests of a [`FaultPlan::seeded`] plan fail, each in thousandths of the
/// requests that can fail in this way. Of one request at most one fault comes true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// Any request: no answer comes, and nothing was done.
    pub refused: u32,
    /// Writes only: no answer comes, and nothing was done.
    pub write_refused: u32,
    /// Any request: the store asks for fewer requests (503), and does nothing.
    pub throttled: u32,
    /// Writes: done, but no answer comes.
    pub answer_lost: u32,
    /// Writes: no answer comes, and what was asked is done later, when other requests, of other
    /// processes too, have gone by.
    pub late: u32,
    /// Writes: done, and a second copy of the request is carried out later.
    pub repeated: u32,
    /// Creations: answered 409 for another that is under way, and not done; or 503, and perhaps
    /// done.
    pub conflict: u32,
    /// Reads of bytes and listings: half of the answer comes, then it breaks off.
    pub truncated: u32,
    /// Reads of bytes: the answer comes after [`FaultRates::pause`].
    pub slow: u32,
    /// How long a slow answer takes, in the time of tokio's clock.
    pub pause: Duration,
}

/// When the store is lost for good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) after: After,
    pub(super) last: LastWrite,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum After {
    Writes(u64),
    Requests(u64),
}

/// What becomes of the write that finds the store lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWrite {
    /// It is not done.
    Lost,
    /// It is done, only its answer is an error.
    Torn,
    /// It is done later, when nobody waits for it.
    Late,
}

impl FaultPlan {
    /// Nothing fails; only the log is kept, as it is with every plan.
    pub fn record() -> Self {
        Self::default()
    }

    /// Requests fail now and then, for reasons that pass. The same seed fails the same requests.
    pub fn seeded(seed: u64, rates: FaultRates) -> Self {
        Self { seed, rates, ..Self::default() }
    }

    /// The first `writes` mutating operations succeed; then the store is lost: every later
    /// operation fails, reads too, and nothing takes effect.
    pub fn stop_after_writes(writes: u64) -> Self {
        Self::stop(After::Writes(writes), LastWrite::Lost)
    }

    /// As [`FaultPlan::stop_after_writes`], but the write that finds the store lost still takes
    /// effect, only its answer is an error.
    pub fn stop_after_writes_torn(writes: u64) -> Self {
        Self::stop(After::Writes(writes), LastWrite::Torn)
    }

    /// The process is killed after so many requests of any kind: every later one fails, and
    /// nothing takes effect but, perhaps, the write that was just being sent.
    pub fn stop_after_requests(requests: u64, last: LastWrite) -> Self {
        Self::stop(After::Requests(requests), last)
    }

    fn stop(after: After, last: LastWrite) -> Self {
        Self { stop: Some(Stop { after, last }), ..Self::default() }
    }

    /// A write that would bring the bytes written in all above `bytes` fails for want of space.
    /// Smaller ones may still fit; deletions succeed and free nothing.
    pub fn no_space_after_bytes(bytes: u64) -> Self {
        Self { space_bytes: Some(bytes), ..Self::default() }
    }

    /// On average one write in `one_in` is answered with an error; about half of these take effect
    /// nevertheless. The same seed fails the same writes.
    pub fn flaky(seed: u64, one_in: u32) -> Self {
        let half = 500 / one_in.max(1);
        let rates = FaultRates { answer_lost: half, write_refused: half, ..FaultRates::default() };
        Self::seeded(seed, rates)
    }

    /// Reads of one object are answered with an error that says nothing of the object.
    pub fn unreadable(name: &str) -> Self {
        Self { unreadable: Some(name.to_owned()), ..Self::default() }
    }

    /// Objects below a folder cannot be deleted: a lock is on them, or permission lacks.
    pub fn locked(folder: &str) -> Self {
        Self { locked: Some(format!("{folder}/")), ..Self::default() }
    }

    /// All that fails by this plan or by the other. Where both are seeded, or both come to an end,
    /// this one counts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let seeded = self.rates != FaultRates::default();
        let (seed, rates) =
            if seeded { (self.seed, self.rates) } else { (other.seed, other.rates) };
        Self {
            seed,
            rates,
            stop: self.stop.or(other.stop),
            space_bytes: self.space_bytes.or(other.space_bytes),
            unreadable: self.unreadable.or(other.unreadable),
            locked: self.locked.or(other.locked),
        }
    }
}

/// A kind of mutating operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteOperation {
    /// A write that replaces.
    Put,
    /// A conditional creation.
    Create,
    /// A deletion.
    Delete,
}

impl WriteOperation {
    pub(super) fn of(mode: &PutMode) -> Self {
        match mode {
            PutMode::Create => Self::Create,
            PutMode::Overwrite | PutMode::Update(_) => Self::Put,
        }
    }
}

/// One mutating operation that reached the store below.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoggedWrite {
    /// What was done.
    pub operation: WriteOperation,
    /// To which object.
    pub name: String,
}
