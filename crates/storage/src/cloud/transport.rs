//! What goes over the wire: every HTTP request of a cloud store, those for credentials too.
//!
//! - **Tries again** what may be better the next time: broken connections, time-outs, 408, 429, 500,
//!   502, 503, 504, and 409 where a store could not decide. Every request of ours may be repeated;
//!   a creation that was repeated is settled by reading back (`requests`). An answer is read whole
//!   before anybody sees it, so that one that breaks off counts as well.
//! - **Gives up what stands still**, and never what moves, however slowly.
//! - **Keeps to limits**: bandwidth ([`Pace`]), and requests at once ([`Concurrency`]).
//! - **Counts** what was sent, and tells what was repeated (`tracing`, at level info).

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};

use super::backoff::{Attempts, Jitter};
use super::concurrency::Concurrency;
use super::pace::Pace;
use crate::StoreSettings;

/// The longest answer that is read whole, in bytes.
const WHOLE_BYTES: u64 = 256 << 20;
/// Bytes that are sent in one piece, at most.
const PIECE_BYTES: usize = 64 << 10;
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
/// A store that this process never reached is not waited for: its address is likely to be wrong.
const FIRST_CONTACT: Duration = Duration::from_secs(10);

/// What went over the wire so far.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// HTTP requests, repeated ones among them.
    pub(crate) requests: AtomicU64,
    /// Requests that repeated another.
    pub(crate) retries: AtomicU64,
    /// Answers by which the store asked for fewer requests.
    pub(crate) throttled: AtomicU64,
    /// Whether an answer ever came.
    reached: AtomicBool,
}

/// Gives a store its transport.
#[derive(Debug)]
pub(crate) struct Connector(Transport);

#[derive(Clone, Debug)]
struct Transport {
    client: reqwest::Client,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    traffic: Arc<Traffic>,
    concurrency: Concurrency,
    up: Pace,
    down: Pace,
    piece_bytes: usize,
    patience: Duration,
    budget: Duration,
    jitter: Jitter,
}

impl Connector {
    /// An error says what is wrong with the settings.
    pub(crate) fn new(settings: &StoreSettings) -> Result<Self, String> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("nightjar/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_PATIENCE)
            .redirect(Policy::none());
        for text in &settings.certificates {
            let bad = |error: reqwest::Error| format!("a certificate cannot be used: {error}");
            for certificate in Certificate::from_pem_bundle(text).map_err(bad)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(|error| told(&error))?;
        let tenth = |rate: u64| usize::try_from(rate / 10).unwrap_or(usize::MAX);
        let shared = Shared {
            traffic: Arc::default(),
            concurrency: Concurrency::new(),
            up: Pace::new(settings.upload_limit),
            down: Pace::new(settings.download_limit),
            // A request must be seen to move even if it shares a narrow line.
            piece_bytes: settings.upload_limit.map_or(PIECE_BYTES, tenth).clamp(512, PIECE_BYTES),
            patience: settings.patience,
            budget: settings.retry_budget,
            jitter: Jitter::new(settings.seed),
        };
        Ok(Self(Transport { client, shared: Arc::new(shared) }))
    }

    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.0.shared.traffic)
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let shared = &self.shared;
        let (head, body) = request.into_parts();
        let mut attempts = Attempts::new(shared.budget);
        let mut first_contact = Attempts::new(shared.budget.min(FIRST_CONTACT));
        loop {
            let place = shared.concurrency.place().await;
            shared.traffic.requests.fetch_add(1, Ordering::Relaxed);
            let answer = self.send(&head, body.clone()).await;
            drop(place);
            let Some(trouble) = self.judge(&answer) else { return answer };
            let attempts = match shared.traffic.reached.load(Ordering::Relaxed) {
                true => &mut attempts,
                false => &mut first_contact,
            };
            let Some(pause) = attempts.pause(&shared.jitter, trouble.asked) else {
                return answer;
            };
            shared.traffic.retries.fetch_add(1, Ordering::Relaxed);
            let (method, path) = (&head.method, head.uri.path());
            tracing::info!("{method} {path}: {}; trying again in {pause:.1?}", trouble.what);
            sleep(pause).await;
        }
    }
}

/// Why an answer is not the last word.
struct Trouble {
    what: String,
    /// How long the store asked to be left alone.
    asked: Option<Duration>,
}

impl Transport {
    /// What is wrong with an answer that may be better the next time.
    fn judge(&self, answer: &Result<HttpResponse, HttpError>) -> Option<Trouble> {
        let shared = &self.shared;
        let response = match answer {
            Ok(response) => response,
            Err(error) if error.kind() == HttpErrorKind::Unknown => return None,
            Err(error) => return Some(Trouble { what: told(error), asked: None }),
        };
        shared.traffic.reached.store(true, Ordering::Relaxed);
        let status = response.status();
        let throttled =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if throttled {
            shared.traffic.throttled.fetch_add(1, Ordering::Relaxed);
            shared.concurrency.narrow();
        } else {
            shared.concurrency.widen();
        }
        let again = throttled
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT
                    | StatusCode::INTERNAL_SERVER_ERROR
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::GATEWAY_TIMEOUT
            )
            || response.extensions().get::<Undecided>().is_some();
        again.then(|| Trouble { what: status.to_string(), asked: retry_after(response.headers()) })
    }

    /// One attempt.
    async fn send(
        &self,
        head: &http::request::Parts,
        body: HttpRequestBody,
    ) -> Result<HttpResponse, HttpError> {
        let progress = Progress::new(self.shared.patience);
        let url = head.uri.to_string().parse::<reqwest::Url>();
        let url = url.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut request = reqwest::Request::new(head.method.clone(), url);
        *request.headers_mut() = head.headers.clone();
        let query = head.uri.query().unwrap_or_default();
        let completes = head.method == Method::POST && query.contains("uploadId=");
        let length = body.content_length();
        if length > 0 {
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
            *request.body_mut() = Some(self.upload(body, progress.clone()));
        }
        let response = progress.watch(self.client.execute(request)).await?.map_err(failure)?;
        let (mut head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let announced =
            head.headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > WHOLE_BYTES) {
            // Far more than any object of ours has: whoever asked finds out before it is read.
            let body = HttpResponseBody::new(body.map_err(failure));
            return Ok(HttpResponse::from_parts(head, body));
        }
        let bytes = self.download(body, &progress).await?;
        let undecided = match head.status {
            StatusCode::CONFLICT => holds(&bytes, b"ConditionalRequestConflict"),
            // S3 begins to answer a completion before it is done, and may then think otherwise.
            StatusCode::OK if completes => {
                holds(&bytes, b"InternalError") || holds(&bytes, b"SlowDown")
            }
            _ => false,
        };
        if undecided {
            head.extensions.insert(Undecided);
        }
        Ok(HttpResponse::from_parts(head, body_of(bytes)))
    }

    fn upload(&self, body: HttpRequestBody, progress: Progress) -> reqwest::Body {
        let shared = Arc::clone(&self.shared);
        let piece_bytes = shared.piece_bytes;
        let pieces = body
            .into_data_stream()
            .map_ok(move |bytes| stream::iter(pieces(bytes, piece_bytes)).map(Ok::<_, HttpError>))
            .try_flatten()
            .and_then(move |piece: Bytes| {
                let (shared, progress) = (Arc::clone(&shared), progress.clone());
                async move {
                    shared.up.wait(piece.len()).await;
                    progress.moved();
                    Ok(piece)
                }
            });
        reqwest::Body::wrap_stream(pieces)
    }

    async fn download(
        &self,
        mut body: reqwest::Body,
        progress: &Progress,
    ) -> Result<Bytes, HttpError> {
        let mut bytes = BytesMut::new();
        while let Some(frame) = progress.watch(body.frame()).await? {
            let Ok(data) = frame.map_err(failure)?.into_data() else { continue };
            self.shared.down.wait(data.len()).await;
            progress.moved();
            bytes.extend_from_slice(&data);
            if bytes.len() as u64 > WHOLE_BYTES {
                let endless = Complaint("an answer is longer than any can be".into());
                return Err(HttpError::new(HttpErrorKind::Unknown, endless));
            }
        }
        Ok(bytes.freeze())
    }
}

/// Marks a creation, or the end of an upload in parts, that a store did not decide.
#[derive(Clone, Debug)]
struct Undecided;

fn body_of(bytes: Bytes) -> HttpResponseBody {
    HttpResponseBody::new(http_body_util::Full::new(bytes).map_err(|never| match never {}))
}

fn pieces(mut bytes: Bytes, piece_bytes: usize) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let len = bytes.len().min(piece_bytes);
        (len > 0).then(|| bytes.split_to(len))
    })
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// When a request last moved.
#[derive(Clone, Debug)]
struct Progress {
    patience: Duration,
    last: Arc<Mutex<Instant>>,
}

impl Progress {
    fn new(patience: Duration) -> Self {
        Self { patience, last: Arc::new(Mutex::new(Instant::now())) }
    }

    fn moved(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn deadline(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) + self.patience
    }

    /// Waits for `work` as long as anything moves.
    async fn watch<T>(&self, work: impl Future<Output = T>) -> Result<T, HttpError> {
        let mut work = std::pin::pin!(work);
        loop {
            let deadline = self.deadline();
            match timeout_at(deadline, &mut work).await {
                Ok(answer) => return Ok(answer),
                Err(_) if self.deadline() > deadline => {}
                Err(_) => {
                    let stalled = format!("nothing moved for {:?}", self.patience);
                    return Err(HttpError::new(HttpErrorKind::Timeout, Complaint(stalled)));
                }
            }
        }
    }
}

#[derive(Debug)]
struct Complaint(String);

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Complaint {}

/// What became of a request. Of the kind "unknown" is what trying again does not help against.
fn failure(error: reqwest::Error) -> HttpError {
    // What a URL holds says nothing of the failure.
    let error = error.without_url();
    let kind = if holds(told(&error).as_bytes(), b"certificate") || error.is_builder() {
        HttpErrorKind::Unknown
    } else if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error)
}

/// An error with all that caused it.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
