//! A proxy in front of a server, which counts requests and does wrong what it is told to.

mod fault;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue, LAST_MODIFIED, TRANSFER_ENCODING,
};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{iter, once};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use jiff::fmt::rfc2822;
use tokio::net::TcpStream;
use tokio::time::sleep;

pub use fault::Fault;
use fault::Kind;

use crate::Authority;
use crate::served::Served;

/// A proxy that passes everything on until it is told of faults.
pub struct Proxy {
    shared: Arc<Shared>,
    _served: Served,
    endpoint: String,
}

struct Shared {
    /// Host and port of the server.
    server: String,
    faults: Mutex<Vec<Fault>>,
    seen: Mutex<Vec<Seen>>,
}

/// A request that reached the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// GET, PUT, …
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
}

impl Proxy {
    /// Starts a proxy in front of a server's endpoint, `http://host:port` and maybe a path.
    pub fn start(endpoint: &str) -> Self {
        Self::listen(endpoint, None)
    }

    /// Starts one that speaks TLS with its clients, with a certificate of this authority.
    pub fn start_tls(endpoint: &str, authority: &Authority) -> Self {
        Self::listen(endpoint, Some(authority))
    }

    fn listen(endpoint: &str, authority: Option<&Authority>) -> Self {
        let Some(rest) = endpoint.strip_prefix("http://") else {
            panic!("{endpoint} is not the endpoint of a server that speaks plain HTTP")
        };
        let (server, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            faults: Mutex::default(),
            seen: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let served = Served::start(router, authority.map(Authority::server));
        let endpoint = format!("{}{path}", served.endpoint());
        Self { shared, _served: served, endpoint }
    }

    /// Where it is, with the path of the server's endpoint.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Adds a fault. Of several that could strike a request, the first does.
    pub fn inject(&self, fault: Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// Drops all faults.
    pub fn heal(&self) {
        lock(&self.shared.faults).clear();
    }

    /// How many requests of this method came, those that were struck among them.
    pub fn count(&self, method: &str) -> usize {
        lock(&self.shared.seen).iter().filter(|seen| seen.method == method).count()
    }

    /// All requests that came, in their order.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Begins to count anew.
    pub fn forget(&self) {
        lock(&self.shared.seen).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let method = request.method().clone();
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let kind = fault::choose(&mut lock(&shared.faults), method.as_str(), &target);
    lock(&shared.seen).push(Seen { method: method.to_string(), target });
    match kind {
        Some(Kind::Answer { status, code, done: false }) => {
            // Only then is the client sure to read the answer.
            let _ = to_bytes(request.into_body(), usize::MAX).await;
            refusal(status, &code)
        }
        Some(Kind::HangUp { done: false }) => hang_up(),
        Some(Kind::Tear(bytes)) => {
            let mut body = request.into_body().into_data_stream();
            let mut came = 0;
            while came < bytes
                && let Some(Ok(piece)) = body.next().await
            {
                came += piece.len();
            }
            hang_up()
        }
        Some(Kind::KeepObjects) => keep_objects(request).await,
        Some(Kind::Stall(time)) => {
            sleep(time).await;
            passed_on(&shared, request).await
        }
        kind => {
            let response = passed_on(&shared, request).await;
            match kind {
                Some(Kind::Answer { status, code, .. }) => refusal(status, &code),
                Some(Kind::HangUp { .. }) => hang_up(),
                Some(Kind::Clock(seconds)) => at_another_time(response, seconds),
                Some(Kind::Cut(bytes)) => broken(response, &method, bytes, None).await,
                Some(Kind::StallBody(bytes, time)) => {
                    broken(response, &method, bytes, Some(time)).await
                }
                _ => response,
            }
        }
    }
}

async fn passed_on(shared: &Shared, request: Request) -> Response {
    match pass_on(&shared.server, request).await {
        Ok(response) => response,
        Err(error) => {
            (StatusCode::BAD_GATEWAY, format!("{}: {error}", shared.server)).into_response()
        }
    }
}

/// Bodies pass in one piece, over a connection for each request.
async fn pass_on(server: &str, request: Request) -> Result<Response, axum::BoxError> {
    let (mut head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await?;
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.remove(CONNECTION);
    let stream = TokioIo::new(TcpStream::connect(server).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    let request = Request::from_parts(head, Full::new(body));
    let (mut head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.remove(CONNECTION);
    Ok(Response::from_parts(head, body.into()))
}

fn refusal(status: u16, code: &str) -> Response {
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <Error><Code>{code}</Code><Message>The proxy was told to.</Message></Error>"
    );
    let status = StatusCode::from_u16(status);
    let status = status.unwrap_or_else(|_| panic!("{code} has a status that is none"));
    (status, [(CONTENT_TYPE, "application/xml")], document).into_response()
}

/// S3 refuses a deletion, and of a bulk deletion each object.
async fn keep_objects(request: Request) -> Response {
    let method = request.method().clone();
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
    if method == Method::DELETE {
        return refusal(403, "AccessDenied");
    }
    let text = String::from_utf8_lossy(&body);
    let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
    let kept: String = keys
        .map(|key| {
            format!(
                "<Error><Key>{key}</Key><Code>AccessDenied</Code>\
                 <Message>Access Denied</Message></Error>"
            )
        })
        .collect();
    let document =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><DeleteResult>{kept}</DeleteResult>");
    ([(CONTENT_TYPE, "application/xml")], document).into_response()
}

/// The answer of a server whose clock shows another time.
fn at_another_time(mut response: Response, seconds: i64) -> Response {
    for name in [DATE, LAST_MODIFIED] {
        let moved = response.headers().get(&name).and_then(|value| later(value, seconds));
        if let Some(value) = moved {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn later(value: &HeaderValue, seconds: i64) -> Option<HeaderValue> {
    let time = rfc2822::parse(value.to_str().ok()?).ok()?.timestamp();
    let time = time.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    let text = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()?;
    HeaderValue::from_str(&text).ok()
}

/// A body that fails before anything is sent makes the server close the connection.
fn hang_up() -> Response {
    Body::from_stream(once(async { Err::<Bytes, _>(closed()) })).into_response()
}

/// Rests after so many bytes of the body, or ends there.
async fn broken(
    response: Response,
    method: &Method,
    bytes: usize,
    rest: Option<Duration>,
) -> Response {
    let (mut head, body) = response.into_parts();
    let Ok(mut start) = to_bytes(body, usize::MAX).await else { return hang_up() };
    if *method != Method::HEAD {
        head.headers.insert(CONTENT_LENGTH, start.len().into());
    }
    let end = start.split_off(bytes.min(start.len()));
    let end = async move {
        // The start goes out first.
        sleep(rest.unwrap_or(Duration::from_millis(20))).await;
        if rest.is_some() { Ok(end) } else { Err(closed()) }
    };
    let body = Body::from_stream(iter([Ok(start)]).chain(once(end)));
    Response::from_parts(head, body)
}

fn closed() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
