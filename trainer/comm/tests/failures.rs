//! What happens when a rank dies, hangs, is late, or is not who it says: an error within its bound, never a hang.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests fail by panicking, like tests.
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use coalition_comm::tcp::{Gang, form};
use coalition_comm::{Collective, CommError};

/// No call may take longer: a hundred times what a busy machine needs.
const LIMIT: Duration = Duration::from_secs(20);

fn gang(rank: usize, peers: &[String]) -> Gang {
    Gang { rank, peers: peers.to_vec(), attempt: 1, token: [9; 32], form: LIMIT, deadline: LIMIT }
}

fn listeners(world: usize) -> (Vec<TcpListener>, Vec<String>) {
    let l: Vec<_> = (0..world).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let a = l.iter().map(|l| l.local_addr().unwrap().to_string()).collect();
    (l, a)
}

fn mesh(world: usize, deadline: Duration) -> Vec<Box<dyn Collective>> {
    let (l, a) = listeners(world);
    let handles: Vec<_> = l
        .into_iter()
        .enumerate()
        .map(|(rank, l)| {
            let g = Gang { deadline, ..gang(rank, &a) };
            thread::spawn(move || form(&l, &g).unwrap())
        })
        .collect();
    handles.into_iter().map(|h| h.join().unwrap()).collect()
}

/// A peer that dies in the middle of a large sum: all others see it within a second.
#[test]
fn a_dead_peer_is_seen_by_everybody() {
    let mut ranks = mesh(3, LIMIT);
    let dying = ranks.pop().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let others: Vec<_> = ranks
        .into_iter()
        .map(|mut c| {
            let tell = tell.clone();
            thread::spawn(move || {
                tell.send(()).unwrap();
                let mut x = vec![1.0; 1 << 20];
                let e = c.all_reduce_sum(&mut x).unwrap_err();
                (Instant::now(), e)
            })
        })
        .collect();
    told.recv().unwrap();
    told.recv().unwrap();
    let died = Instant::now();
    drop(dying);
    for o in others {
        let (at, e) = o.join().unwrap();
        assert!(matches!(e, CommError::PeerLost { .. }), "{e}");
        assert!(at.saturating_duration_since(died) < Duration::from_secs(1), "{:?}", at - died);
    }
}

/// The same for a rank that only sends: the root of a large broadcast to a dead peer.
#[test]
fn a_sender_sees_it_too() {
    let mut ranks = mesh(2, LIMIT);
    drop(ranks.pop());
    let mut c = ranks.pop().unwrap();
    let start = Instant::now();
    let mut x = vec![0.0; 8 << 20];
    assert!(matches!(c.broadcast_f32(0, &mut x), Err(CommError::PeerLost { rank: 1, .. })));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_silent_peer_meets_the_deadline() {
    let mut ranks = mesh(2, Duration::from_millis(150));
    let silent = ranks.pop().unwrap();
    let start = Instant::now();
    let e = ranks[0].barrier().unwrap_err();
    assert!(matches!(&e, CommError::Deadline { waiting_for, .. } if *waiting_for == [1]), "{e}");
    assert!(start.elapsed() < Duration::from_secs(2));
    drop(silent);
}

#[test]
fn a_dead_address_is_no_reason_to_wait() {
    let (mut l, a) = listeners(2);
    let second = l.pop().unwrap();
    drop(l);
    let start = Instant::now();
    assert!(matches!(form(&second, &gang(1, &a)), Err(CommError::PeerLost { rank: 0, .. })));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_wrong_token_is_refused() {
    let (l, a) = listeners(2);
    let mut l = l.into_iter();
    let (zero, one) = (l.next().unwrap(), l.next().unwrap());
    let g0 = Gang { form: Duration::from_millis(400), ..gang(0, &a) };
    let g1 = Gang { token: [8; 32], form: Duration::from_millis(400), ..gang(1, &a) };
    let h = thread::spawn(move || form(&zero, &g0).map(|_| ()));
    let dialler = form(&one, &g1).map(|_| ());
    assert!(matches!(dialler, Err(CommError::Refused { .. } | CommError::Deadline { .. })), "{dialler:?}");
    assert!(matches!(h.join().unwrap(), Err(CommError::Deadline { .. })));
}

#[test]
fn a_stale_attempt_is_refused_and_told() {
    let (l, a) = listeners(2);
    let mut l = l.into_iter();
    let (zero, one) = (l.next().unwrap(), l.next().unwrap());
    let g0 = Gang { attempt: 5, form: Duration::from_millis(400), ..gang(0, &a) };
    let g1 = Gang { attempt: 4, ..gang(1, &a) };
    let h = thread::spawn(move || form(&zero, &g0).map(|_| ()));
    assert!(matches!(form(&one, &g1).map(|_| ()), Err(CommError::Superseded { mine: 4, theirs: 5 })));
    assert!(matches!(h.join().unwrap(), Err(CommError::Deadline { .. })));
}

/// A survivor still forming attempt 4 is called by a process of attempt 5: it stops waiting at once.
#[test]
fn a_newer_attempt_ends_an_older_one() {
    let (l, a) = listeners(2);
    let mut l = l.into_iter();
    let (zero, one) = (l.next().unwrap(), l.next().unwrap());
    let g0 = Gang { attempt: 4, ..gang(0, &a) };
    let g1 = Gang { attempt: 5, form: Duration::from_secs(1), ..gang(1, &a) };
    let h = thread::spawn(move || {
        let first = form(&zero, &g0).map(|_| ());
        // The same listener serves the next attempt.
        let second = form(&zero, &Gang { attempt: 5, ..g0 }).map(|_| ());
        (first, second)
    });
    assert!(form(&one, &g1).is_ok());
    let (first, second) = h.join().unwrap();
    assert!(matches!(first, Err(CommError::Superseded { mine: 4, theirs: 5 })));
    assert!(second.is_ok());
}

/// Strangers on the port, silent or talking nonsense, do not keep the gang from forming.
#[test]
fn strangers_do_no_harm() {
    let (l, a) = listeners(2);
    let mut l = l.into_iter();
    let (zero, one) = (l.next().unwrap(), l.next().unwrap());
    let mut nonsense = TcpStream::connect(&a[0]).unwrap();
    nonsense.write_all(&[b'x'; 200]).unwrap();
    let closed = TcpStream::connect(&a[0]).unwrap();
    drop(closed);
    let (g0, g1) = (gang(0, &a), gang(1, &a));
    let h = thread::spawn(move || form(&zero, &g0).map(|mut c| c.barrier()));
    form(&one, &g1).unwrap().barrier().unwrap();
    h.join().unwrap().unwrap().unwrap();
    // The talker was hung up on.
    nonsense.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert!(nonsense.read(&mut [0; 64]).map_or(true, |n| n == 0));
}
