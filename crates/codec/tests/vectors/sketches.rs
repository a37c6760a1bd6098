//! `sketches.json`.

use nightjar_codec::digest::{Purpose, derive_long};
use nightjar_codec::sketch::{NONE, Sketch, Sketcher};

use crate::file::{input, key, list, load};
use crate::reference;

#[test]
fn sketches_are_those_of_the_format() {
    let file = load("sketches.json");
    let dedup_key = key(&file, "dedup_key");
    let mut bytes = [0; 240];
    derive_long(Purpose::Sketch, &dedup_key, &mut bytes);
    let constants = reference::words(&bytes);
    let recorded: Vec<String> = serde_json::from_value(file["constants"].clone()).unwrap();
    assert_eq!(constants.map(|word| format!("{word:016x}")), *recorded);

    let sketcher = Sketcher::new(&dedup_key);
    for recorded in list(&file, "sketches") {
        let stream = input(&recorded["input"]);
        let sketch: Sketch = serde_json::from_value(recorded["sketch"].clone()).unwrap();
        assert_eq!(sketcher.sketch(&stream), sketch, "{}", recorded["input"]);
        assert_eq!(reference::sketch(&stream, &constants), sketch, "{}", recorded["input"]);
    }
}

#[test]
fn the_recorded_sketches_show_what_sketches_are_for() {
    let file = load("sketches.json");
    let sketches = |of: &str, edited: bool| -> Vec<Sketch> {
        list(&file, "sketches")
            .iter()
            .filter(|it| it["input"]["label"] == of && it["input"]["edits"].is_array() == edited)
            .map(|it| serde_json::from_value(it["sketch"].clone()).unwrap())
            .collect()
    };
    let shared = |a: &Sketch, b: &Sketch| a.iter().zip(b).filter(|(a, b)| a == b).count();
    let [noise] = sketches("sketch: noise 35", false)[..] else { panic!("one is not edited") };
    let [other] = sketches("sketch: other noise", false)[..] else { panic!("there is one") };
    let edited = sketches("sketch: noise 35", true);
    assert_eq!(edited.iter().map(|it| shared(it, &noise)).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(shared(&noise, &other), 0);
    assert_eq!(sketches("sketch: nothing", false), [NONE]);
}
