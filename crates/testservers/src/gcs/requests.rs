//! From HTTP to buckets and back.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING,
    CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use axum::http::response::Builder;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::Shared;
use super::bucket::{Attributes, Object};
use super::error::Refusal;
use super::listing::{self, Listing};
use super::xml;

const GENERATION: &str = "x-goog-generation";
const IF_GENERATION: &str = "x-goog-if-generation-match";
const COPY_SOURCE: &str = "x-goog-copy-source";

/// Headers that an object keeps.
const KEPT: [HeaderName; 5] =
    [CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE];

/// A request that is whole.
struct Call<'a> {
    shared: &'a Shared,
    bucket: String,
    /// Empty if the request is about the bucket.
    name: String,
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

type Answer = Result<Response, Refusal>;

pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    // A body that ends early is refused before anything is decided.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Refusal::BODY.into_response();
    };
    let outcome = place(head.uri.path()).and_then(|(bucket, name)| {
        let call = Call { shared: &shared, bucket, name, query, headers: head.headers, body };
        call.authorize()?;
        call.answer(&head.method)
    });
    outcome.unwrap_or_else(Refusal::into_response)
}

/// Bucket and name in `/bucket/name`.
fn place(path: &str) -> Result<(String, String), Refusal> {
    let path = path.strip_prefix('/').ok_or(Refusal::BAD_REQUEST)?;
    let (bucket, name) = path.split_once('/').unwrap_or((path, ""));
    Ok((decode(bucket)?, decode(name)?))
}

fn decode(text: &str) -> Result<String, Refusal> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| Refusal::BAD_REQUEST)
}

impl Call<'_> {
    fn authorize(&self) -> Result<(), Refusal> {
        let Some(token) = &self.shared.token else { return Ok(()) };
        let bearer = format!("Bearer {token}");
        match self.header(AUTHORIZATION.as_str()) {
            Some(given) if given == bearer => Ok(()),
            _ => Err(Refusal::TOKEN),
        }
    }

    fn answer(self, method: &Method) -> Answer {
        let upload = self.query.get("uploadId").cloned();
        let on_object = !self.name.is_empty();
        match (method.as_str(), on_object, upload) {
            ("GET", false, None) => self.list(),
            ("GET" | "HEAD", true, None) => self.get(method == Method::HEAD),
            ("PUT", true, None) if self.headers.contains_key(COPY_SOURCE) => self.copy(),
            ("PUT", true, None) => self.put(),
            ("DELETE", true, None) => self.delete(),
            ("POST", true, None) if self.query.contains_key("uploads") => self.open(),
            ("PUT", true, Some(id)) => self.put_part(&id),
            ("POST", true, Some(id)) => self.complete(&id),
            ("DELETE", true, Some(id)) => self.abort(&id),
            _ => Err(Refusal::UNKNOWN),
        }
    }

    fn put(self) -> Answer {
        let (attributes, expected) = (self.attributes(), self.expected()?);
        let mut buckets = self.shared.buckets();
        let object = buckets.put(&self.bucket, self.name, self.body, attributes, expected)?;
        finish(tags(&object).header(CONTENT_LENGTH, 0), Body::empty())
    }

    fn copy(self) -> Answer {
        let source = self.header(COPY_SOURCE).ok_or(Refusal::BAD_REQUEST)?;
        let (from_bucket, from) = place(&format!("/{}", source.trim_start_matches('/')))?;
        let expected = self.expected()?;
        let mut buckets = self.shared.buckets();
        let source = buckets.bucket(&from_bucket)?.object(&from, None)?.clone();
        let object =
            buckets.put(&self.bucket, self.name, source.data, source.attributes, expected)?;
        let etag = xml::escape(&object.etag());
        let document = format!(
            "<CopyObjectResult><ETag>{etag}</ETag><LastModified>{}</LastModified></CopyObjectResult>",
            object.modified
        );
        finish(tags(&object), document.into())
    }

    fn delete(self) -> Answer {
        let expected = self.expected()?;
        self.shared.buckets().delete(&self.bucket, &self.name, expected)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    fn get(self, head: bool) -> Answer {
        if [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE]
            .iter()
            .any(|name| self.headers.contains_key(name))
        {
            return Err(Refusal::UNKNOWN);
        }
        let generation = match self.query.get("generation") {
            Some(text) => Some(text.parse().map_err(|_| Refusal::BAD_REQUEST)?),
            None => None,
        };
        let object =
            self.shared.buckets().bucket(&self.bucket)?.object(&self.name, generation)?.clone();
        let etag = object.etag();
        let named = |list: &str| list == "*" || list.split(',').any(|tag| tag.trim() == etag);
        if self.header(IF_MATCH.as_str()).is_some_and(|list| !named(list)) {
            return Err(Refusal::PRECONDITION);
        }
        if self.header(IF_NONE_MATCH.as_str()).is_some_and(named) {
            return finish(tags(&object).status(StatusCode::NOT_MODIFIED), Body::empty());
        }
        let size = object.data.len();
        let mut answer = tags(&object).header(ACCEPT_RANGES, "bytes");
        for (name, value) in &object.attributes {
            answer = answer.header(name, value);
        }
        let range = match self.header(RANGE.as_str()) {
            Some(text) => {
                let range = range(text, size)?;
                let told = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                answer = answer.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, told);
                range
            }
            None => 0..size,
        };
        answer = answer.header(CONTENT_LENGTH, range.len());
        let body = if head { Body::empty() } else { object.data.slice(range).into() };
        finish(answer, body)
    }

    fn list(self) -> Answer {
        if self.query.get("list-type").map(String::as_str) != Some("2") {
            return Err(Refusal::UNKNOWN);
        }
        let most = match self.query.get("max-keys") {
            Some(text) => text.parse().map_err(|_| Refusal::BAD_REQUEST)?,
            None => self.shared.page,
        };
        let after = match self.query.get("continuation-token") {
            Some(token) => Some(listing::from_token(token).ok_or(Refusal::BAD_REQUEST)?),
            None => self.query.get("start-after").cloned(),
        };
        let listing = Listing {
            prefix: self.query.get("prefix").cloned().unwrap_or_default(),
            delimiter: self.query.get("delimiter").cloned(),
            after,
            most: most.min(self.shared.page),
        };
        let mut buckets = self.shared.buckets();
        let objects = &buckets.bucket(&self.bucket)?.objects;
        let document = listing::document(&self.bucket, &listing.page(objects), objects);
        finish(Response::builder(), document.into())
    }

    fn open(self) -> Answer {
        if self.expected()?.is_some() {
            return Err(Refusal::UNKNOWN);
        }
        let attributes = self.attributes();
        let id = self.shared.buckets().open(&self.bucket, self.name, attributes)?;
        let document = format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        );
        finish(Response::builder(), document.into())
    }

    fn put_part(self, id: &str) -> Answer {
        let number = self.query.get("partNumber").and_then(|text| text.parse().ok());
        let number = number.filter(|number| (1..=10_000).contains(number));
        let number = number.ok_or(Refusal::BAD_REQUEST)?;
        let etag =
            self.shared.buckets().put_part(&self.bucket, &self.name, id, number, self.body)?;
        finish(Response::builder().header(ETAG, etag).header(CONTENT_LENGTH, 0), Body::empty())
    }

    fn complete(self, id: &str) -> Answer {
        if self.expected()?.is_some() {
            return Err(Refusal::UNKNOWN);
        }
        let parts = std::str::from_utf8(&self.body).ok().and_then(xml::parts);
        let parts = parts.ok_or(Refusal::BAD_REQUEST)?;
        let object = self.shared.buckets().complete(&self.bucket, &self.name, id, &parts)?;
        let etag = xml::escape(&object.etag());
        let document = format!(
            "<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
        );
        finish(tags(&object), document.into())
    }

    fn abort(self, id: &str) -> Answer {
        self.shared.buckets().abort(&self.bucket, &self.name, id)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The generation that must stand there; 0 is none.
    fn expected(&self) -> Result<Option<u64>, Refusal> {
        let text = self.headers.get(IF_GENERATION).map(HeaderValue::to_str);
        let number = text.map(|text| text.ok().and_then(|text| text.parse().ok()));
        number.map(|number| number.ok_or(Refusal::BAD_REQUEST)).transpose()
    }

    fn attributes(&self) -> Attributes {
        let kept = |name: &HeaderName| {
            KEPT.contains(name)
                || name.as_str() == "x-goog-storage-class"
                || name.as_str().starts_with("x-goog-meta-")
        };
        let headers = self.headers.iter().filter(|(name, _)| kept(name));
        headers.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// The range of `bytes=a-b`, `bytes=a-` or `bytes=-n`, cut to what there is.
fn range(text: &str, size: usize) -> Result<Range<usize>, Refusal> {
    let (first, last) = text
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .ok_or(Refusal::BAD_REQUEST)?;
    let number = |text: &str| text.parse::<usize>().map_err(|_| Refusal::BAD_REQUEST);
    let range = match (first, last) {
        ("", last) => size.saturating_sub(number(last)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => number(first)?..number(last)?.saturating_add(1).min(size),
    };
    if range.is_empty() { Err(Refusal::RANGE) } else { Ok(range) }
}

/// An answer that says which object it is about.
fn tags(object: &Object) -> Builder {
    let modified = object.modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    Response::builder()
        .header(ETAG, object.etag())
        .header(GENERATION, object.generation)
        .header(LAST_MODIFIED, modified)
}

fn finish(answer: Builder, body: Body) -> Answer {
    answer.body(body).map_err(|_| Refusal::BAD_REQUEST)
}
