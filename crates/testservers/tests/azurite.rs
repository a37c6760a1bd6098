//! Azurite takes what our stores ask of Azure.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod promises;

use nightjar_testservers::Azurite;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};

fn store(azurite: &Azurite) -> MicrosoftAzure {
    MicrosoftAzureBuilder::new()
        .with_endpoint(azurite.endpoint().to_owned())
        .with_allow_http(true)
        .with_account(azurite.account())
        .with_access_key(azurite.access_key())
        .with_container_name(azurite.new_bucket())
        .build()
        .unwrap()
}

#[tokio::test]
async fn azurite_keeps_what_a_store_promises() {
    let azurite = Azurite::start();
    promises::hold(&store(&azurite)).await;
}

#[test]
fn azurite_is_gone_after_drop() {
    let azurite = Azurite::start();
    let endpoint = azurite.endpoint().to_owned();
    drop(azurite);
    assert!(!promises::takes_connections(&endpoint));
}
