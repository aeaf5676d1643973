//! The kernels on CPU threads. Must not know models; results do not depend on the number of threads.
use rayon::prelude::*;

use crate::adamw::{Scalars, update};
use crate::{AdamStep, BLOCK, DecaySpan, Element, KernelError, Kernels};

/// Partial sums inside a block: as many as an AVX-512 register pair holds f64, so that the loop becomes vector code with an
/// order of addition that is fixed here and not by the compiler.
const LANES: usize = 16;

/// Host kernels with a pool of their own.
#[derive(Debug)]
pub struct Host {
    pool: rayon::ThreadPool,
}

impl Host {
    /// A pool of `threads` threads (0 counts as 1). The number changes how long a call takes, never a bit of its result.
    pub fn new(threads: usize) -> Result<Self, KernelError> {
        let threads = threads.max(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|n| format!("kernel-{n}"))
            .build()
            .map_err(|e| KernelError::Threads { threads, reason: e.to_string() })?;
        Ok(Self { pool })
    }

    /// Runs other work that is parallel inside on the same pool: no second pool competes for the pinned threads.
    pub fn install<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        self.pool.install(f)
    }
}

/// One block of an update: the four slices and the scalars of its span.
struct Job<'a, E> {
    x: &'a mut [E],
    m: &'a mut [E],
    v: &'a mut [E],
    g: &'a [E],
    k: Scalars<E>,
}

/// Cuts the spans of the four buffers into blocks, refusing spans that overlap or leave the buffer.
fn jobs<'a, E: Element>(
    mut x: &'a mut [E],
    mut m: &'a mut [E],
    mut v: &'a mut [E],
    mut g: &'a [E],
    spans: &[DecaySpan],
    step: &AdamStep,
) -> Result<Vec<Job<'a, E>>, KernelError> {
    let len = x.len();
    let (decayed, plain) = (Scalars::new(step, true), Scalars::new(step, false));
    let mut out = Vec::with_capacity(len / BLOCK + spans.len());
    let mut at = 0;
    for s in spans {
        if s.start < at || s.end() > len {
            return Err(KernelError::Span { start: s.start, end: s.end(), len });
        }
        let gap = s.start - at;
        (x, m, v, g) = (&mut x[gap..], &mut m[gap..], &mut v[gap..], &g[gap..]);
        let mut left = s.len;
        while left > 0 {
            let n = left.min(BLOCK);
            let (x0, x1) = x.split_at_mut(n);
            let (m0, m1) = m.split_at_mut(n);
            let (v0, v1) = v.split_at_mut(n);
            let (g0, g1) = g.split_at(n);
            out.push(Job { x: x0, m: m0, v: v0, g: g0, k: if s.decay { decayed } else { plain } });
            (x, m, v, g) = (x1, m1, v1, g1);
            left -= n;
        }
        at = s.end();
    }
    Ok(out)
}

fn block_squares<E: Element>(x: &[E]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for c in chunks {
        for (sum, x) in lanes.iter_mut().zip(c) {
            let x = x.to_f64();
            *sum += x * x;
        }
    }
    for (sum, x) in lanes.iter_mut().zip(rest) {
        let x = x.to_f64();
        *sum += x * x;
    }
    lanes.iter().sum()
}

impl<E: Element> Kernels<[E]> for Host {
    fn adamw(
        &self,
        x: &mut [E],
        m: &mut [E],
        v: &mut [E],
        g: &[E],
        spans: &[DecaySpan],
        step: &AdamStep,
    ) -> Result<(), KernelError> {
        step.check()?;
        for (what, got) in [("first moment", m.len()), ("second moment", v.len()), ("gradient", g.len())] {
            if got != x.len() {
                return Err(KernelError::Length { what, got, expected: x.len() });
            }
        }
        let jobs = jobs(x, m, v, g, spans, step)?;
        self.pool.install(|| jobs.into_par_iter().for_each(|j| update(j.x, j.m, j.v, j.g, j.k)));
        Ok(())
    }

    fn sum_of_squares(&self, x: &[E]) -> f64 {
        let partials: Vec<f64> = self.pool.install(|| x.par_chunks(BLOCK).map(block_squares).collect());
        partials.iter().sum()
    }

    fn scale(&self, x: &mut [E], by: f64) {
        let by = E::from_f64(by);
        self.pool.install(|| {
            x.par_chunks_mut(BLOCK).for_each(|c| {
                for x in c {
                    *x = *x * by;
                }
            });
        });
    }
}
