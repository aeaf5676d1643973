//! Data sets pushed to a folder store and fetched again; cut off, resumed, damaged.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use crate::dataset::push;
use coalition_data::{Dataset, PrepareOptions, Silent, TokenizerChoice, Verify, prepare};
use coalition_store::Location;

/// A small data set of several shards, pushed to a store of its own.
struct World {
    dir: tempfile::TempDir,
    url: String,
    store: Store,
    index: Index,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let (source, out, shelf) = (dir.path().join("source"), dir.path().join("out"), dir.path().join("shelf"));
    fs::create_dir(&source).unwrap();
    for n in 0..40_u32 {
        fs::write(source.join(format!("{n}")), format!("document {n} says {}\n", n * n).repeat(40)).unwrap();
    }
    let tokenizer = TokenizerChoice::TrainBpe(300);
    let options = PrepareOptions {
        tokenizer,
        held_out_share: 0.2,
        tokens_per_shard: 1024,
        ..PrepareOptions::new(vec![source], out.clone())
    };
    let index = prepare(&options, &Silent).unwrap();
    let url = format!("file://{}", shelf.display());
    assert_eq!(push(&out, &url).unwrap(), 0);
    let store = Store::open(&Location::Folder(shelf)).unwrap();
    World { dir, url, store, index }
}

impl World {
    fn place(&self) -> Place {
        let place = Place::new(&self.dir.path().join("cache"), "s3://bucket/set");
        drop(place.lock().unwrap());
        place
    }

    fn fetch(&self) -> Result<Place, Failure> {
        let place = self.place();
        fetch(&self.store, &self.url, &place).map(|()| place)
    }
}

#[test]
fn what_was_pushed_is_fetched_whole() {
    let w = world();
    let place = w.fetch().unwrap();
    let got = Dataset::open(&place.folder, Verify::All).unwrap();
    assert_eq!(got.index(), &w.index);
    got.tokenizer().unwrap();
    assert!(got.index().files().len() > 6, "several shards and a tokenizer");
    assert!(!place.partial.exists());
    // Pushed again it is found; another one is refused and changes nothing.
    let out = w.dir.path().join("out");
    assert_eq!(push(&out, &w.url).unwrap(), 0);
    let other = w.dir.path().join("other");
    prepare(&PrepareOptions::new(vec![w.dir.path().join("source")], other.clone()), &Silent).unwrap();
    let e = push(&other, &w.url).unwrap_err();
    assert!(e.code == exit::CONFIG && e.message.contains("another data set"), "{e}");
}

#[test]
fn what_a_killed_process_brought_is_not_brought_again() {
    let w = world();
    let place = w.place();
    fs::create_dir(&place.partial).unwrap();
    let out = w.dir.path().join("out");
    let names: Vec<String> = w.index.files().iter().map(|f| f.name.to_owned()).collect();
    // Whole, whole but wrong, and half.
    fs::copy(out.join(&names[1]), place.partial.join(&names[1])).unwrap();
    fs::write(place.partial.join(&names[2]), "wrong").unwrap();
    fs::write(place.partial.join(format!(".{}.part", names[3])), "half").unwrap();
    // Gone from the store: only who keeps what is there can finish.
    fs::remove_file(w.dir.path().join("shelf").join(&names[1])).unwrap();
    fetch(&w.store, &w.url, &place).unwrap();
    Dataset::open(&place.folder, Verify::All).unwrap();
    let files = fs::read_dir(&place.folder).unwrap().count();
    assert_eq!(files, names.len() + 1, "nothing half-fetched is left");
}

#[test]
fn a_push_that_was_cut_off_goes_on() {
    let w = world();
    let shelf = w.dir.path().join("shelf");
    let name = w.index.files()[1].name.to_owned();
    fs::remove_file(shelf.join(index::FILE)).unwrap();
    fs::remove_file(shelf.join(&name)).unwrap();
    let e = w.fetch().unwrap_err();
    assert!(e.code == exit::DATA && e.message.contains("data push FOLDER"), "without its index there is none: {e}");
    push(&w.dir.path().join("out"), &w.url).unwrap();
    w.fetch().unwrap();
    // What lies there under a shard's name and is something else is never taken for it.
    fs::remove_file(shelf.join(index::FILE)).unwrap();
    fs::write(shelf.join(&name), "something else").unwrap();
    let e = push(&w.dir.path().join("out"), &w.url).unwrap_err();
    assert!(e.code == exit::CONFIG && e.message.contains(&name), "{e}");
}

#[test]
fn damage_on_the_way_is_found() {
    let w = world();
    let name = w.index.files()[1].name.to_owned();
    let path = w.dir.path().join("shelf").join(&name);
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let e = w.fetch().unwrap_err();
    assert!(e.code == exit::DATA && e.message.contains(&name) && e.message.contains("BLAKE3"), "{e}");
    // Larger than the index says: not even read.
    bytes.push(0);
    fs::write(&path, bytes).unwrap();
    let e = w.fetch().unwrap_err();
    assert!(e.code == exit::DATA && e.message.contains(&name), "{e}");
    assert!(!w.place().folder.exists());
}
