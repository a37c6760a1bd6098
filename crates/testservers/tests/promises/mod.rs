//! What every server must do for a store: conditional writes, ranges, pages, uploads in parts.
#![allow(dead_code, unreachable_pub, reason = "each test file uses what it needs")]

use std::net::TcpStream;

use futures::future::join_all;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion,
};

/// Fails unless the store in the empty bucket keeps all of them.
pub async fn hold<S: ObjectStore + PaginatedListStore>(store: &S) {
    conditional_writes(store).await;
    one_of_many_creates(store).await;
    ranges(store).await;
    parts(store).await;
    pages(store).await;
}

pub fn takes_connections(endpoint: &str) -> bool {
    let rest = endpoint.split("//").nth(1).unwrap();
    TcpStream::connect(rest.split('/').next().unwrap()).is_ok()
}

pub async fn conditional_writes(store: &impl ObjectStore) {
    let path = Path::from("cond/one & only+ä");
    let first = store.put_opts(&path, "first".into(), PutMode::Create.into()).await.unwrap();
    let second = store.put_opts(&path, "second".into(), PutMode::Create.into()).await;
    assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
    let update = |version: UpdateVersion| PutOptions::from(PutMode::Update(version));
    let third = store.put_opts(&path, "third".into(), update(first.clone().into())).await.unwrap();
    assert_ne!(first.e_tag, third.e_tag);
    let stale = store.put_opts(&path, "stale".into(), update(first.into())).await;
    assert!(matches!(stale, Err(Error::Precondition { .. })), "{stale:?}");
    let got = store.get(&path).await.unwrap();
    assert_eq!(got.meta.e_tag, third.e_tag);
    assert_eq!(got.bytes().await.unwrap(), "third");
    store.delete(&path).await.unwrap();
    assert!(matches!(store.head(&path).await, Err(Error::NotFound { .. })));
}

async fn one_of_many_creates(store: &impl ObjectStore) {
    let path = Path::from("race");
    let create = |i: usize| {
        let path = &path;
        async move { store.put_opts(path, format!("{i}").into(), PutMode::Create.into()).await }
    };
    let won = join_all((0..8).map(create)).await.iter().filter(|result| result.is_ok()).count();
    assert_eq!(won, 1);
    store.delete(&path).await.unwrap();
}

async fn ranges(store: &impl ObjectStore) {
    let path = Path::from("range");
    store.put(&path, "0123456789".into()).await.unwrap();
    assert_eq!(store.get_range(&path, 2..5).await.unwrap(), "234");
    assert_eq!(store.get_range(&path, 8..20).await.unwrap(), "89");
    let options = GetOptions { range: Some(GetRange::Offset(7)), ..GetOptions::default() };
    assert_eq!(store.get_opts(&path, options).await.unwrap().bytes().await.unwrap(), "789");
    assert!(store.get_range(&path, 10..12).await.is_err());
    assert_eq!(store.head(&path).await.unwrap().size, 10);
    store.delete(&path).await.unwrap();
}

async fn parts(store: &impl ObjectStore) {
    let path = Path::from("parts");
    let mut upload = store.put_multipart(&path).await.unwrap();
    let long = vec![7; 5 << 20];
    upload.put_part(long.clone().into()).await.unwrap();
    upload.put_part("end".into()).await.unwrap();
    assert!(store.head(&path).await.is_err());
    upload.complete().await.unwrap();
    let whole = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert!(whole == [&long[..], b"end"].concat());
    store.delete(&path).await.unwrap();
    let mut upload = store.put_multipart(&path).await.unwrap();
    upload.put_part(long.into()).await.unwrap();
    upload.abort().await.unwrap();
    assert!(store.head(&path).await.is_err());
}

pub async fn pages<S: ObjectStore + PaginatedListStore>(store: &S) {
    let names: Vec<String> = (0..7).map(|i| format!("list/{}/{i}", i % 2)).collect();
    for name in &names {
        store.put(&Path::from(name.as_str()), name.clone().into()).await.unwrap();
    }
    let mut listed = Vec::new();
    let mut page_token = None;
    let mut sizes = Vec::new();
    loop {
        let options = PaginatedListOptions {
            max_keys: Some(3),
            page_token: page_token.take(),
            ..PaginatedListOptions::default()
        };
        let page = store.list_paginated(Some("list/"), options).await.unwrap();
        sizes.push(page.result.objects.len());
        listed.extend(page.result.objects.into_iter().map(|object| object.location.to_string()));
        page_token = page.page_token;
        if page_token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [3, 3, 1]);
    let mut sorted = names;
    sorted.sort();
    assert_eq!(listed, sorted);
    let list = store.list_with_delimiter(Some(&Path::from("list"))).await.unwrap();
    let prefixes: Vec<&str> = list.common_prefixes.iter().map(|path| path.as_ref()).collect();
    assert_eq!((prefixes, list.objects.len()), (vec!["list/0", "list/1"], 0));
}
