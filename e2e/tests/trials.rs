//! One seeded sample of each long check; campaigns run them in full.
use coalition_e2e::trials;
use rstest::rstest;

#[rstest]
#[case("kills", 1)]
#[case("kills-one-site", 1)]
#[case("site-loss-offered", 1)]
#[case("site-loss-held", 1)]
#[case("site-loss-committed", 1)]
#[case("store-loss", 1)]
fn holds(#[case] name: &str, #[case] seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let outcome = trials::run(name, seed, folder.path()).unwrap();
    println!("trial {name} seed {seed}: {outcome}");
    if outcome["ok"] != true {
        // What it left behind is what one wants to look at.
        let kept = folder.keep();
        panic!("trial {name} seed {seed} in {}: {}", kept.display(), outcome["detail"].as_str().unwrap_or_default());
    }
}
