//! How many requests are under way: fewer as long as the store says that they are too many.
//!
//! Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain, 1989): a store that
//! throttles is asked by half as many at once, at most once per [`CALM`], and by one more for as
//! many answers as there are places.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests at once, at most.
const MOST: usize = 48;
/// What is throttled at the same time was sent under the same limit.
const CALM: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Limit {
    places: usize,
    /// Permits that are to be taken away when they come back.
    excess: usize,
    /// Answers since the last change.
    answers: usize,
    narrowed: Option<Instant>,
}

/// Places for requests.
#[derive(Debug)]
pub(crate) struct Concurrency {
    permits: Semaphore,
    limit: Mutex<Limit>,
}

/// A request's place.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    concurrency: &'a Concurrency,
    permit: Option<SemaphorePermit<'a>>,
}

impl Concurrency {
    pub(crate) fn new() -> Self {
        let limit = Limit { places: MOST, excess: 0, answers: 0, narrowed: None };
        Self { permits: Semaphore::new(MOST), limit: Mutex::new(limit) }
    }

    pub(crate) async fn place(&self) -> Place<'_> {
        // It is never closed.
        let permit = self.permits.acquire().await.ok();
        Place { concurrency: self, permit }
    }

    /// An answer came that was no complaint.
    pub(crate) fn widen(&self) {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        limit.answers += 1;
        if limit.places < MOST && limit.answers >= limit.places {
            limit.places += 1;
            limit.answers = 0;
            if limit.excess > 0 {
                limit.excess -= 1;
            } else {
                self.permits.add_permits(1);
            }
        }
    }

    /// The store complains.
    pub(crate) fn narrow(&self) {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        if limit.narrowed.is_some_and(|when| when.elapsed() < CALM) {
            return;
        }
        let fewer = (limit.places / 2).max(1);
        limit.excess += limit.places - fewer;
        limit.places = fewer;
        limit.answers = 0;
        limit.narrowed = Some(Instant::now());
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut limit = self.concurrency.limit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permit) = self.permit.take().filter(|_| limit.excess > 0) {
            limit.excess -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(concurrency: &Concurrency) -> usize {
        concurrency.permits.available_permits()
    }

    #[test]
    fn complaints_halve_the_places_and_answers_bring_them_back() {
        let concurrency = Concurrency::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut places = Vec::new();
            for _ in 0..MOST {
                places.push(concurrency.place().await);
            }
            concurrency.narrow();
            concurrency.narrow();
            places.clear();
            assert_eq!(free(&concurrency), MOST / 2);
            (0..MOST / 2).for_each(|_| concurrency.widen());
            assert_eq!(free(&concurrency), MOST / 2 + 1);
            (0..MOST * MOST).for_each(|_| concurrency.widen());
            assert_eq!(free(&concurrency), MOST);
        });
    }
}
