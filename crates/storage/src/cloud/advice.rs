//! What the errors of clouds mean to whoever has to do something about them.
//!
//! Stores say what is wrong by codes in the bodies of their answers, networks by texts: both stand
//! in the errors' own texts, and nowhere else that can be got at.

use std::error::Error;

const NO_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];

/// Codes and texts, and the setting to look at.
const ADVICE: [(&[&str], &str); 11] = [
    (
        &NO_BUCKET,
        "the bucket of the URL does not exist there: check its name, --endpoint and --region",
    ),
    (
        &["InvalidAccessKeyId", "InvalidClientTokenId"],
        "the store does not know the access key: check AWS_ACCESS_KEY_ID and --endpoint",
    ),
    (
        &["while loading credentials", "no providers in chain provided credentials"],
        "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    ),
    (
        &["SignatureDoesNotMatch", "AuthenticationFailed", "AuthorizationFailure"],
        "the key does not fit the account: check the secret (AWS_SECRET_ACCESS_KEY, \
         AZURE_STORAGE_ACCOUNT_KEY or the SAS token)",
    ),
    (
        &["ExpiredToken", "TokenRefreshRequired", "ExpiredAuthenticationToken"],
        "the credentials have expired: renew them, then run the command again",
    ),
    (
        &["RequestTimeTooSkewed"],
        "the clock of this machine differs too much from the store's: set it, then run the command \
         again",
    ),
    (
        &["AuthorizationHeaderMalformed", "PermanentRedirect", "Received redirect"],
        "the bucket lies in another region: name it with --region or AWS_REGION",
    ),
    (
        &["InvalidObjectState", "BlobArchived"],
        "the object was moved to an archive tier: bring it back from there first",
    ),
    (
        &["dns error", "failed to lookup address"],
        "the host name of the store cannot be found: check --endpoint, the region and this machine's \
         name servers",
    ),
    (
        &["invalid peer certificate", "UnknownIssuer"],
        "the store's TLS certificate is not trusted here: give its authority's certificate with \
         --ca-file, or check --endpoint",
    ),
    (
        &["Connection refused", "nothing moved for", "deadline has elapsed", "operation timed out"],
        "the store cannot be reached: check --endpoint and the network",
    ),
];

/// Where a store is full, or a quota used up.
const NO_SPACE: [&str; 4] =
    ["QuotaExceeded", "StorageFull", "InsufficientCapacity", "507 Insufficient Storage"];

/// Where only the text tells of a refusal: in listings, and in deletions of several objects, which as
/// such succeed.
const DENIED: [&str; 5] = [
    "403 Forbidden",
    "401 Unauthorized",
    "(code: AccessDenied)",
    "(code: 403)",
    "(code: AuthorizationPermissionMismatch)",
];

/// What to do about an error, where its text tells.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let text = text_of(error);
    ADVICE.iter().find(|(marks, _)| holds_one(&text, marks)).map(|(_, advice)| *advice)
}

/// Whether its text tells that the bucket is not there.
pub(crate) fn is_no_bucket(error: &(dyn Error + 'static)) -> bool {
    holds_one(&text_of(error), &NO_BUCKET)
}

/// Whether its text tells that nothing more can be stored.
pub(crate) fn is_no_space(error: &(dyn Error + 'static)) -> bool {
    holds_one(&text_of(error), &NO_SPACE)
}

/// Whether its text tells that this is not permitted.
pub(crate) fn is_denied(error: &(dyn Error + 'static)) -> bool {
    holds_one(&text_of(error), &DENIED)
}

/// Whether it is a refusal whose reason stands in a body, which answers to HEAD do not have.
pub(crate) fn lacks_reason(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    match error {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => true,
        E::Generic { .. } => holds_one(&text_of(error), &["400 Bad Request", "507 Insufficient"]),
        _ => false,
    }
}

/// An error with its causes.
fn text_of(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}\n{error}");
        cause = error.source();
    }
    text
}

fn holds_one(text: &str, marks: &[&str]) -> bool {
    marks.iter().any(|mark| text.contains(mark))
}
