//! Two pinned threads inside every operation, on tensors large enough to be shared out: same calls, same bits. A test process
//! of its own, because the tensor library keeps one number of threads for the process.
#![allow(clippy::unwrap_used)] // tests: a failure here is the finding
mod common;

use coalition_engine::{Alone, Batch, Options, Trainer};
use coalition_spec::model::Architecture;
use coalition_spec::preset;
use common::{adam, bits, options, windows};

fn train(threads: usize, recompute: bool) -> (Vec<u64>, Vec<f64>) {
    let config = preset::find("llama-tiny-bytes", Architecture::Llama).unwrap();
    let mut t = Trainer::<f32>::new(&config, adam(), Options { threads, recompute, ..options() }).unwrap();
    t.init(3);
    let first = bits(t.params());
    let step = |n: u64| {
        let batch = Batch::from_windows(128, &windows(2, 128, 256, n as u32)).unwrap();
        t.step(&batch, 1e-3, n, &mut Alone).unwrap().loss
    };
    let losses = (0..2).map(step).collect();
    (first.into_iter().chain(bits(t.params())).collect(), losses)
}

#[test]
fn two_threads_repeat_exactly() {
    let (a, b) = (train(2, false), train(2, false));
    assert_eq!(a.1, b.1);
    assert_eq!(a.0, b.0);
    assert_eq!(a.0, train(2, true).0, "recomputation");
    // First values do not depend on the class; what is trained may, and stays near.
    let one = train(1, false);
    let half = one.0.len() / 2;
    assert_eq!(one.0[..half], a.0[..half]);
    assert!(one.1.iter().zip(&a.1).all(|(x, y)| (x - y).abs() < 1e-4), "{:?} {:?}", one.1, a.1);
}
