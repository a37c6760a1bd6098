//! What a proxy does wrong, and to which requests.

use std::time::Duration;

/// A fault, which strikes the next request unless told otherwise.
#[derive(Debug, Clone)]
pub struct Fault {
    pub(super) kind: Kind,
    method: Option<String>,
    part: Option<String>,
    spared: u32,
    times: u32,
}

/// When it strikes and how.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Answered in place of the server, before or after it did what was asked.
    Answer { status: u16, code: String, done: bool },
    /// No answer at all.
    HangUp { done: bool },
    /// The connection closes after so many bytes of the request's body.
    Tear(usize),
    /// The request waits before it goes on.
    Stall(Duration),
    /// The answer's body ends after so many bytes.
    Cut(usize),
    /// The answer's body rests after so many bytes.
    StallBody(usize, Duration),
    /// The answer says that no object may be deleted, as S3 says it.
    KeepObjects,
    /// The answer's times are so many seconds later.
    Clock(i64),
}

impl Fault {
    /// The request does not reach the server; the answer has this status, and this code in its
    /// document.
    pub fn answer(status: u16, code: &str) -> Self {
        Self::new(Kind::Answer { status, code: code.to_owned(), done: false })
    }

    /// The server does what it is asked, and the client is told this instead.
    pub fn answer_after(status: u16, code: &str) -> Self {
        Self::new(Kind::Answer { status, code: code.to_owned(), done: true })
    }

    /// What S3 answers to clients in a hurry.
    pub fn slow_down() -> Self {
        Self::answer(503, "SlowDown")
    }

    /// The connection closes; the server hears nothing.
    pub fn hang_up() -> Self {
        Self::new(Kind::HangUp { done: false })
    }

    /// The connection closes after the server did what it was asked.
    pub fn hang_up_after() -> Self {
        Self::new(Kind::HangUp { done: true })
    }

    /// The connection closes when `bytes` of the request's body have come; the server hears nothing.
    pub fn tear(bytes: usize) -> Self {
        Self::new(Kind::Tear(bytes))
    }

    /// The request reaches the server so much later.
    pub fn stall(time: Duration) -> Self {
        Self::new(Kind::Stall(time))
    }

    /// The answer's body ends after `bytes`, short of the length that its head tells.
    pub fn cut(bytes: usize) -> Self {
        Self::new(Kind::Cut(bytes))
    }

    /// The answer's body rests for `time` after `bytes`.
    pub fn stall_body(bytes: usize, time: Duration) -> Self {
        Self::new(Kind::StallBody(bytes, time))
    }

    /// Deletions are denied: one of S3's bulk deletions succeeds as such and names what it kept.
    /// Strikes deletions only.
    pub fn keep_objects() -> Self {
        Self::new(Kind::KeepObjects)
    }

    /// The server's clock is so many seconds ahead, as far as the heads of its answers tell.
    pub fn clock(seconds: i64) -> Self {
        Self::new(Kind::Clock(seconds))
    }

    /// Strikes only requests of this method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Strikes only requests whose path and query, as they are sent, contain `part`.
    pub fn on(mut self, part: &str) -> Self {
        self.part = Some(part.to_owned());
        self
    }

    /// Spares the first `requests` of those that it could strike.
    pub fn spare(mut self, requests: u32) -> Self {
        self.spared = requests;
        self
    }

    /// Strikes so many requests.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Strikes until the proxy is told otherwise.
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    fn new(kind: Kind) -> Self {
        Self { kind, method: None, part: None, spared: 0, times: 1 }
    }

    /// Whether it strikes this request, which is then counted.
    fn strikes(&mut self, method: &str, target: &str) -> bool {
        let deletes = method == "DELETE" || method == "POST" && target.contains("?delete");
        let meant = self.method.as_deref().is_none_or(|wanted| wanted == method)
            && (deletes || !matches!(self.kind, Kind::KeepObjects))
            && self.part.as_deref().is_none_or(|part| target.contains(part));
        if meant && self.spared > 0 {
            self.spared -= 1;
            return false;
        }
        if meant && self.times > 0 && self.times < u32::MAX {
            self.times -= 1;
            return true;
        }
        meant && self.times > 0
    }
}

/// The first of the faults that strikes the request.
pub(super) fn choose(faults: &mut [Fault], method: &str, target: &str) -> Option<Kind> {
    faults.iter_mut().find_map(|fault| fault.strikes(method, target).then(|| fault.kind.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_whom_it_is_meant_for_and_as_often() {
        let mut faults = [Fault::slow_down().method("PUT").on("packs/").spare(1).times(2)];
        let requests = [("GET", "/packs/1"), ("PUT", "/packs/1"), ("PUT", "/index/1")];
        let mut strike = |(method, target)| choose(&mut faults, method, target).is_some();
        assert_eq!(requests.map(&mut strike), [false; 3]);
        assert_eq!([requests[1]; 3].map(&mut strike), [true, true, false]);
    }

    #[test]
    fn objects_are_kept_from_deletions_only() {
        let mut faults = [Fault::keep_objects().always()];
        let requests =
            [("DELETE", "/b/1"), ("POST", "/b?delete"), ("POST", "/b/1?uploads"), ("PUT", "/b/1")];
        let strikes =
            requests.map(|(method, target)| choose(&mut faults, method, target).is_some());
        assert_eq!(strikes, [true, true, false, false]);
    }

    #[test]
    fn faults_take_turns() {
        let mut faults = [Fault::answer(429, "a"), Fault::hang_up().always()];
        let kinds: Vec<bool> = (0..3)
            .map(|_| matches!(choose(&mut faults, "GET", "/"), Some(Kind::HangUp { .. })))
            .collect();
        assert_eq!(kinds, [false, true, true]);
    }
}
