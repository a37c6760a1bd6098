//! Recognises input that is compressed or encrypted already: it is stored all the same, but a
//! small change in it changes everything that follows, so nothing of it deduplicates.

/// Bytes of the beginning that are looked at.
pub const SAMPLE_BYTES: usize = 256 << 10;

/// Bits per byte above which a sample cannot be text or tables.
const NOISE_BITS: f64 = 7.9;
/// Fewer bytes than this say nothing about noise.
const NOISE_SAMPLE_BYTES: usize = 16 << 10;

/// What the beginning of a stream shows, with the advice that goes with it; `None` if it is fit
/// for deduplication.
pub fn advice(beginning: &[u8]) -> Option<String> {
    let plain = "dump it uncompressed (`pg_dump -Z0`, no `| gzip`) and let nightjar compress it";
    let (what, advice) = match beginning {
        [b'P', b'G', b'D', b'M', b'P', ..] => {
            let advice = "use `pg_dump -Z0` (with -Fc or -Fd), or the plain format";
            (compressed_pg_dump(beginning)?, advice)
        }
        _ if beginning.starts_with(b"age-encryption.org/")
            || beginning.starts_with(b"Salted__")
            || beginning.starts_with(b"-----BEGIN PGP MESSAGE") =>
        {
            ("encrypted", "store it unencrypted: nightjar encrypts before anything leaves")
        }
        _ if let Some(what) = compression(beginning) => (what, plain),
        _ if is_noise(beginning) => ("compressed or encrypted", plain),
        _ => return None,
    };
    Some(format!(
        "the input is {what}: it is stored, but a change to it stores nearly all of it again; \
         {advice}"
    ))
}

/// How a stream is compressed that begins so, if it says so.
pub fn compression(beginning: &[u8]) -> Option<&'static str> {
    Some(match beginning {
        [0x1f, 0x8b, ..] => "compressed with gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "compressed with zstd",
        [0x04, 0x22, 0x4d, 0x18, ..] => "compressed with lz4",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "compressed with xz",
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => "compressed with bzip2",
        [b'P', b'K', 3, 4, ..] => "a zip file",
        _ => return None,
    })
}

/// The header of a custom or directory format dump (pg_dump's `WriteHead`): magic, version,
/// sizes of its integers and offsets, format; then the compression, from version 1.15 on a byte,
/// before that a signed integer.
fn compressed_pg_dump(header: &[u8]) -> Option<&'static str> {
    let compressed = match header.get(5..)? {
        [1, minor, _, _, _, _, algorithm, ..] if *minor >= 15 => *algorithm != 0,
        [1, _, _, int_size, _, _, _, level @ ..] => {
            level.get(..usize::from(*int_size))?.iter().any(|byte| *byte != 0)
        }
        _ => false,
    };
    compressed.then_some("a compressed pg_dump")
}

fn is_noise(sample: &[u8]) -> bool {
    if sample.len() < NOISE_SAMPLE_BYTES {
        return false;
    }
    let mut counts = [0u32; 256];
    for byte in sample {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a sample is small")]
    let len = sample.len() as f64;
    let entropy: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / len)
        .map(|share| -share * share.log2())
        .sum();
    entropy > NOISE_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_that_deduplicate_are_left_alone() {
        for input in [
            b"--\n-- PostgreSQL database dump\n--\n".as_slice(),
            b"",
            b"PGDMP\x01\x0f\x00\x04\x08\x01\x00",
            b"PGDMP\x01\x0e\x00\x04\x08\x01\x00\x00\x00\x00\x00",
        ] {
            assert_eq!(advice(input), None, "{input:?}");
        }
        let table: Vec<u8> =
            (0..20_000u32).flat_map(|i| format!("{i}\t{}\n", i * 7919).into_bytes()).collect();
        assert_eq!(advice(&table), None);
    }

    #[test]
    fn compressed_dumps_get_the_flag_that_helps() {
        for input in [
            b"PGDMP\x01\x0f\x00\x04\x08\x01\x01".as_slice(),
            b"PGDMP\x01\x10\x00\x04\x08\x01\x03",
            b"PGDMP\x01\x0e\x00\x04\x08\x01\x01\x01\x00\x00\x00",
        ] {
            assert!(advice(input).unwrap().contains("-Z0"), "{input:?}");
        }
        assert!(advice(b"\x1f\x8b\x08\x00rest").unwrap().contains("gzip"));
    }

    #[test]
    fn noise_is_recognised() {
        let mut state = 1u64;
        let noise: Vec<u8> = (0..65_536)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect();
        assert!(advice(&noise).unwrap().contains("encrypted"));
    }
}
