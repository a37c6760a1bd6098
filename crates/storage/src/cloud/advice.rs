//! What the errors of clouds mean to whoever has to do something about them.
//!
//! Stores say what is wrong by codes in the bodies of their answers, networks by texts: both stand
//! in the errors' own texts, and nowhere else that can be got at.

use std::error::Error;

/// Codes and texts, and the setting to look at.
const ADVICE: [(&[&str], &str); 10] = [
    (
        &["NoSuchBucket", "ContainerNotFound"],
        "the bucket of the URL does not exist there: check its name, --endpoint and --region",
    ),
    (
        &["InvalidAccessKeyId", "InvalidClientTokenId"],
        "the store does not know the access key: check AWS_ACCESS_KEY_ID and --endpoint",
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
        &["certificate", "UnknownIssuer"],
        "the store's TLS certificate is not trusted here: give its authority's certificate with \
         --ca-file, or check --endpoint",
    ),
    (
        &["Connection refused", "nothing moved for", "deadline has elapsed", "operation timed out"],
        "the store cannot be reached: check --endpoint and the network",
    ),
];

/// What to do about an error, where its text tells.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}\n{error}");
        cause = error.source();
    }
    let means = |marks: &&[&str]| marks.iter().any(|mark| text.contains(mark));
    ADVICE.iter().find(|(marks, _)| means(marks)).map(|(_, advice)| *advice)
}
