//! Night after night: new content is always stored, old content never twice.

use std::fs;

use crate::harness::{Sandbox, assert_same, data, id_of, make, number};

/// A chunk's least, average and greatest length, and what the program reads in one piece.
const LENGTHS: [usize; 5] = [16 << 10, 64 << 10, 256 << 10, 512 << 10, 2 << 20];

#[test]
fn other_content_of_the_same_name_and_length_is_stored() {
    let sandbox = Sandbox::new();
    let nights = [data::dump(1, 10_000), data::noise(2, 1_000_000), vec![0; 1_000_000]];
    let length = nights.iter().map(Vec::len).min().unwrap();
    let ids: Vec<String> =
        nights.iter().map(|night| sandbox.store("dump.sql", &night[..length])).collect();
    for (id, night) in ids.iter().zip(&nights) {
        assert_same(&sandbox.stream(id), &night[..length]);
    }
}

#[test]
fn a_file_changed_behind_its_time_and_length_is_stored() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("file");
    let ids = ["first content", "other content"].map(|content| {
        fs::write(&file, content).unwrap();
        make::set_time(&file, 1_000_000_000, 0);
        id_of(&sandbox.nightjar("backup").source(&file).json())
    });
    assert_same(&sandbox.stream(&ids[0]), b"first content");
    assert_same(&sandbox.stream(&ids[1]), b"other content");
}

#[test]
fn an_unchanged_night_adds_next_to_nothing() {
    let sandbox = Sandbox::new();
    let dump = data::dump(1, 200_000);
    let file = sandbox.write("dump", &dump);
    let night = || sandbox.nightjar("backup --name dump.sql -- cat").arg(&file).json();
    let first = night();
    let before = sandbox.stored_bytes();
    let second = night();
    let grown = sandbox.stored_bytes() - before;
    assert!(grown < 100_000, "the store grew by {grown} bytes");
    assert!(number(&second, "bytes_added") < 100_000, "{second}");
    assert_eq!(number(&second, "chunks_new"), 0);
    assert_eq!(second["root"].as_str().is_some(), first["root"].as_str().is_some());
    for night in [&first, &second] {
        assert_same(&sandbox.stream(&id_of(night)), &dump);
    }
    sandbox.assert_verifies();
}

#[test]
fn what_is_reported_as_added_is_what_the_store_grew_by() {
    let sandbox = Sandbox::new();
    for seed in 0..3 {
        let before = sandbox.stored_bytes();
        let run = sandbox.nightjar("backup --stdin dump.sql").stdin(data::dump(seed, 30_000));
        let added = number(&run.json(), "bytes_added");
        assert_eq!(added, sandbox.stored_bytes() - before, "night {seed}");
    }
}

#[test]
fn a_small_edit_stores_little() {
    let sandbox = Sandbox::new();
    let dump = data::dump(1, 100_000);
    let half = dump.len() / 2;
    let edited = [&dump[..half], b"a row more\n", &dump[half..]].concat();
    let first = sandbox.nightjar("backup --stdin dump.sql").stdin(dump).json();
    let second = sandbox.nightjar("backup --stdin dump.sql").stdin(edited.as_slice()).json();
    assert!(number(&second, "chunks_new") <= 6, "{second}");
    assert!(number(&second, "bytes_added") * 5 < number(&first, "bytes_added"), "{second}");
    assert_same(&sandbox.stream(&id_of(&second)), &edited);
}

#[test]
fn what_another_series_stored_is_not_stored_again() {
    let (sandbox, dump, _) = Sandbox::with_dump();
    let other = sandbox.nightjar("backup --stdin other.sql").stdin(dump).json();
    assert_eq!(number(&other, "chunks_new"), 0);
}

#[test]
fn an_empty_stream_is_a_snapshot_of_nothing() {
    let sandbox = Sandbox::new();
    let id = sandbox.store("nothing", b"");
    assert_same(&sandbox.stream(&id), b"");
    let target = sandbox.path("target");
    sandbox.nightjar("restore latest --to").arg(&target).done();
    assert_eq!(sandbox.read("target/nothing"), b"");
    sandbox.assert_verifies();
    let command = sandbox.nightjar("backup --name empty -- true").json();
    assert_eq!(command["bytes_read"], 0);
}

#[test]
fn streams_at_the_edges_of_chunks_come_back_bit_for_bit() {
    let sandbox = Sandbox::new();
    // Zeros are cut at the greatest length each time.
    let zeros: Vec<Vec<u8>> = LENGTHS
        .iter()
        .flat_map(|length| [length - 1, *length, length + 1])
        .map(|n| vec![0; n])
        .collect();
    let noise = LENGTHS.iter().enumerate().flat_map(|(seed, length)| {
        [length - 1, *length, length + 1].map(|n| data::noise(seed as u64, n))
    });
    let streams: Vec<Vec<u8>> = zeros.into_iter().chain(noise).chain([vec![7]]).collect();
    fs::create_dir(sandbox.path("streams")).unwrap();
    for (number, stream) in streams.iter().enumerate() {
        sandbox.write(&format!("streams/{number}"), stream);
    }
    sandbox.nightjar("backup").source(sandbox.path("streams")).done();
    sandbox.nightjar("restore latest --to").arg(sandbox.path("target")).done();
    for (number, stream) in streams.iter().enumerate() {
        assert_same(&sandbox.read(&format!("target/streams/{number}")), stream);
    }
    // The same through a pipe, where reads are short.
    for stream in [vec![0; 1 << 20], data::noise(7, 256 << 10), vec![0; (1 << 20) + 1]] {
        let id = sandbox.store("piped", &stream);
        assert_same(&sandbox.stream(&id), &stream);
    }
    sandbox.assert_verifies();
}

#[test]
fn much_of_nothing_takes_little_and_comes_back() {
    let sandbox = Sandbox::new();
    let run = sandbox.nightjar("backup --name zeros -- head -c 300000000 /dev/zero");
    let created = run.json();
    assert_eq!(number(&created, "bytes_read"), 300_000_000);
    assert!(number(&created, "bytes_added") < 100_000, "{created}");
    let compare = "exec 3<&0; head -c 300000000 /dev/zero | cmp - /dev/fd/3";
    sandbox.nightjar("restore latest").shell(compare).done();
    sandbox.assert_verifies();
}

#[test]
fn a_sparse_file_comes_back_with_its_content() {
    let sandbox = Sandbox::new();
    let file = fs::File::create(sandbox.path("disk")).unwrap();
    file.set_len(100_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"somewhere inside", 70_000_000).unwrap();
    drop(file);
    let created = sandbox.nightjar("backup").source(sandbox.path("disk")).json();
    assert!(number(&created, "bytes_added") < 100_000, "{created}");
    sandbox.nightjar("restore latest --to").arg(sandbox.path("target")).done();
    assert_same(&sandbox.read("target/disk"), &sandbox.read("disk"));
}

#[test]
fn chunk_and_pack_sizes_may_be_chosen() {
    let sandbox = Sandbox::without_repository();
    let init = "init --chunk-size 4KiB --pack-size 1MiB --argon2-memory 1MiB";
    let made = sandbox.nightjar(init).json();
    assert_eq!(made["chunk_bytes_average"], 4096);
    let stream = data::noise(8, 5_000_000);
    let id = sandbox.store("noise", &stream);
    assert!(sandbox.nightjar("status").json()["blobs"].as_u64().unwrap() > 500);
    assert_same(&sandbox.stream(&id), &stream);
    sandbox.assert_verifies();
}
