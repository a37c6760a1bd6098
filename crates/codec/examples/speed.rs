use nightjar_codec::{SecretKey, compress, sketch::Sketcher};
use std::time::Instant;
fn main() {
    let sk = Sketcher::new(&SecretKey::new([7; 32]));
    let mut noise = vec![0u8; 64 << 20];
    blake3::Hasher::new().update(b"x").finalize_xof().fill(&mut noise);
    let text: Vec<u8> = match std::env::args().nth(1) {
        Some(p) => std::fs::read(p).unwrap()[..64 << 20].to_vec(),
        None => noise.clone(),
    };
    for (name, data) in [("noise", &noise), ("text", &text)] {
        let t = Instant::now();
        let mut x = 0u32;
        for c in data.chunks(65536) {
            x ^= sk.sketch(c)[0];
        }
        println!(
            "{name} sketch {:.2} GB/s {x}",
            data.len() as f64 / t.elapsed().as_secs_f64() / 1e9
        );
        let t = Instant::now();
        let mut n = 0;
        for c in data.chunks(65536) {
            n += compress::compress(c, 3).map_or(c.len(), |f| f.len());
        }
        println!(
            "{name} plain {:.2} GB/s {n}",
            data.len() as f64 / t.elapsed().as_secs_f64() / 1e9
        );
        let t = Instant::now();
        let mut n = 0;
        for c in data.chunks(65536) {
            let mut base = c.to_vec();
            for k in 0..4 {
                let at = 5000 + k * 15000;
                let b: Vec<u8> = noise[k * 999 + c.len()..][..100].to_vec();
                if at + 100 < base.len() {
                    base.splice(at..at + 100, b);
                }
            }
            n += compress::compress_delta(c, &base, 3).map_or(c.len(), |f| f.len());
        }
        println!(
            "{name} delta {:.2} GB/s {n}",
            data.len() as f64 / t.elapsed().as_secs_f64() / 1e9
        );
        let t = Instant::now();
        for c in data.chunks(65536) {
            x ^= blake3::hash(c).as_bytes()[0] as u32;
        }
        println!(
            "{name} blake3 {:.2} GB/s {x}",
            data.len() as f64 / t.elapsed().as_secs_f64() / 1e9
        );
    }
}
