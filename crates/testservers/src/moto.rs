//! Amazon's S3, KMS, STS and IAM, as moto plays them.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::Server;
use crate::request::{self, Head};

/// A moto server with nothing in it. It takes any credentials, checks no signature, and loses
/// everything when it ends.
pub struct Moto {
    endpoint: String,
    buckets: AtomicU32,
    _server: Server,
}

impl Moto {
    /// Starts a server of its own. Panics with the server's output if that fails.
    pub fn start() -> Self {
        let (server, endpoint) = Server::start(
            "NIGHTJAR_TEST_MOTO",
            |command| {
                command.args(["-c", include_str!("../python/serve_moto.py"), "0"]);
            },
            "Running on ",
        );
        Self { endpoint, buckets: AtomicU32::new(0), _server: server }
    }

    /// Where all its services are, as `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The region that its buckets are in.
    pub fn region(&self) -> &'static str {
        "us-east-1"
    }

    /// An access key id.
    pub fn access_key(&self) -> &'static str {
        "nightjar-test"
    }

    /// The secret that belongs to it.
    pub fn secret_key(&self) -> &'static str {
        "nightjar-test-secret"
    }

    /// The variables that tell clients of it.
    pub fn variables(&self) -> [(&'static str, &'static str); 3] {
        [
            ("AWS_REGION", self.region()),
            ("AWS_ACCESS_KEY_ID", self.access_key()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key()),
        ]
    }

    /// Makes a bucket and returns its name.
    pub fn new_bucket(&self) -> String {
        let bucket = format!("bucket-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        self.send("s3", "PUT", &format!("/{bucket}"), &[], "").expect_success("making a bucket");
        bucket
    }

    /// Makes a symmetric KMS key and returns its id.
    pub fn new_kms_key(&self) -> String {
        let headers = [
            ("Content-Type", "application/x-amz-json-1.1"),
            ("X-Amz-Target", "TrentService.CreateKey"),
        ];
        let answer = self.send("kms", "POST", "/", &headers, "{}").expect_success("making a key");
        let id = answer.text.split("\"KeyId\":").nth(1).and_then(|rest| rest.split('"').nth(1));
        id.unwrap_or_else(|| panic!("no KeyId in:\n{}", answer.text)).to_owned()
    }

    /// The names of the objects in a bucket, which are no more than a thousand.
    pub fn names(&self, bucket: &str) -> Vec<String> {
        let answer = self.send("s3", "GET", &format!("/{bucket}?list-type=2"), &[], "");
        request::elements(&answer.expect_success("listing objects").text, "Key")
    }

    /// The head of the answer to a look at an object (`HeadObject`): what S3 knows of it.
    pub fn head(&self, bucket: &str, name: &str) -> Head {
        let target = format!("/{bucket}/{name}");
        self.send("s3", "HEAD", &target, &[], "").expect_success("looking at an object").head()
    }

    /// How many uploads in parts are neither completed nor aborted.
    pub fn open_uploads(&self, bucket: &str) -> usize {
        let answer = self.send("s3", "GET", &format!("/{bucket}?uploads"), &[], "");
        request::elements(&answer.expect_success("listing uploads").text, "UploadId").len()
    }

    /// Moto tells its services apart by the scope of the credential.
    fn send(
        &self,
        service: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> request::Answer {
        let (key, region) = (self.access_key(), self.region());
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request, \
             SignedHeaders=host, Signature=0"
        );
        let mut all = vec![("Authorization", scope.as_str())];
        all.extend(headers);
        request::send(&self.endpoint, method, target, &all, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kms_sts_and_iam_answer_beside_s3() {
        let moto = Moto::start();
        assert_ne!(moto.new_kms_key(), moto.new_kms_key());
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let body = "Action=GetCallerIdentity&Version=2011-06-15";
        let answer = moto.send("sts", "POST", "/", &form, body).expect_success("STS");
        assert!(answer.text.contains("<Account>"), "{}", answer.text);
        let body = "Action=CreateUser&UserName=somebody&Version=2010-05-08";
        let answer = moto.send("iam", "POST", "/", &form, body).expect_success("IAM");
        assert!(answer.text.contains("<UserName>somebody</UserName>"), "{}", answer.text);
    }
}
