//! One contract for every transport: the same calls, the same bits. The oracle is a plain loop over ranks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use coalition_comm::tcp::{Gang, form};
use coalition_comm::{Collective, CommError, local};
use proptest::prelude::*;
use rstest::rstest;

/// No call may take longer: a hundred times what a busy machine needs.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
enum Transport {
    Local,
    Tcp,
}

/// Runs `work` on every rank and gives back what each returned.
fn on_all<T: Send + 'static>(
    transport: Transport,
    world: usize,
    work: impl Fn(&mut dyn Collective) -> T + Send + Clone + 'static,
) -> Vec<T> {
    let handles: Vec<_> = match transport {
        Transport::Local => local::gang(world, LIMIT)
            .into_iter()
            .map(|mut c| {
                let work = work.clone();
                thread::spawn(move || work(c.as_mut()))
            })
            .collect(),
        Transport::Tcp => {
            let listeners: Vec<_> = (0..world).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            let peers: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap().to_string()).collect();
            listeners
                .into_iter()
                .enumerate()
                .map(|(rank, l)| {
                    let work = work.clone();
                    let gang =
                        Gang { rank, peers: peers.clone(), attempt: 3, token: [7; 32], form: LIMIT, deadline: LIMIT };
                    thread::spawn(move || {
                        let mut c = form(&l, &gang).unwrap();
                        work(c.as_mut())
                    })
                })
                .collect()
        }
    };
    handles.into_iter().map(|h| h.join().unwrap()).collect()
}

/// Values whose sum depends on the order of addition.
fn value(rank: usize, n: usize) -> f32 {
    let x = ((rank * 7919 + n * 104_729) % 100_003) as f32 - 50_000.0;
    x * 1.37e-3 + if n.is_multiple_of(5) { 3.0e4 } else { 0.0 }
}

fn expected(world: usize, len: usize) -> Vec<u32> {
    (0..len)
        .map(|n| {
            let mut s = value(0, n);
            for r in 1..world {
                s += value(r, n);
            }
            s.to_bits()
        })
        .collect()
}

#[rstest]
fn sums_in_the_order_of_ranks(
    #[values(Transport::Local, Transport::Tcp)] transport: Transport,
    #[values(1, 2, 3, 5)] world: usize,
    // Around the border between the two algorithms (16384 f32), and lengths that do not divide.
    #[values(0, 1, 1000, 16_384, 16_385, 100_003)] len: usize,
) {
    let all = on_all(transport, world, move |c| {
        let mut x: Vec<f32> = (0..len).map(|n| value(c.rank(), n)).collect();
        c.all_reduce_sum(&mut x).unwrap();
        x.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    });
    let want = expected(world, len);
    for (rank, got) in all.iter().enumerate() {
        assert!(*got == want, "rank {rank} of {world} differs from the plain sum");
    }
}

#[rstest]
fn the_other_verbs(#[values(Transport::Local, Transport::Tcp)] transport: Transport, #[values(1, 2, 4)] world: usize) {
    on_all(transport, world, move |c| {
        let (rank, root) = (c.rank(), world - 1);
        let mut d = vec![rank as f64 + 0.1; 9001];
        c.all_reduce_sum_f64(&mut d).unwrap();
        let mut want = 0.1;
        for r in 1..world {
            want += r as f64 + 0.1;
        }
        assert!(d.iter().all(|x| x.to_bits() == want.to_bits()));

        let mut word = if rank == root { b"from the root".to_vec() } else { vec![1, 2] };
        c.broadcast(root, &mut word).unwrap();
        assert_eq!(word, b"from the root");

        let mut f = vec![rank as f32; 300_000];
        c.broadcast_f32(root, &mut f).unwrap();
        assert!(f.iter().all(|x| *x == root as f32));
        let mut g = vec![rank as f64; 3];
        c.broadcast_f64(0, &mut g).unwrap();
        assert_eq!(g, [0.0; 3]);

        let all = c.all_gather(&vec![rank as u8; rank]).unwrap();
        assert_eq!(all, (0..world).map(|r| vec![r as u8; r]).collect::<Vec<_>>());
        c.barrier().unwrap();
    });
}

#[rstest]
fn ranks_that_disagree_are_told(#[values(Transport::Local, Transport::Tcp)] transport: Transport) {
    let all = on_all(transport, 2, |c| {
        let mut x = vec![0.0; if c.rank() == 0 { 10 } else { 11 }];
        let first = c.all_reduce_sum(&mut x);
        let second = c.barrier();
        (first, second)
    });
    assert!(all.iter().any(|(f, _)| matches!(f, Err(CommError::OutOfStep { .. }))), "{all:?}");
    for (first, second) in all {
        if first.is_err() {
            assert!(matches!(second, Err(CommError::Broken)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn transports_agree(world in 2usize..5, len in 0usize..40_000, seed in any::<u32>()) {
        let work = move |c: &mut dyn Collective| {
            let mut x: Vec<f32> = (0..len).map(|n| value(c.rank() + seed as usize % 1000, n)).collect();
            c.all_reduce_sum(&mut x).unwrap();
            x.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        prop_assert_eq!(on_all(Transport::Local, world, work), on_all(Transport::Tcp, world, work));
    }
}
