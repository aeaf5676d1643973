//! Collectives over links: the one place that says in which order ranks are summed. Must not know transports.
use crate::links::{Call, Length, Links};
use crate::{Collective, CommError, MAX_BYTES};

/// Below this many bytes everybody sends everything to everybody: one exchange instead of two, since latency counts more
/// than volume (a loopback exchange takes about 20 µs, in which memory moves some 64 KiB).
const SMALL: usize = 64 << 10;

/// A collective over any links.
pub(crate) struct Mesh<L> {
    links: L,
    number: u64,
    broken: bool,
    inbox: Vec<Vec<u8>>,
    bytes: Vec<u8>,
}

/// A number that travels as its little-endian bytes.
trait Wire: Copy + std::ops::AddAssign {
    /// Bytes of one number.
    const SIZE: usize;
    fn put(self, out: &mut Vec<u8>);
    fn get(bytes: &[u8]) -> Self;
}
impl Wire for f32 {
    const SIZE: usize = 4;
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn get(b: &[u8]) -> Self {
        Self::from_le_bytes([b[0], b[1], b[2], b[3]])
    }
}
impl Wire for f64 {
    const SIZE: usize = 8;
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn get(b: &[u8]) -> Self {
        Self::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
    }
}

fn write<T: Wire>(x: &[T], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(x.len() * T::SIZE);
    for v in x {
        v.put(out);
    }
}

fn read<T: Wire>(bytes: &[u8], x: &mut [T]) {
    for (v, b) in x.iter_mut().zip(bytes.chunks_exact(T::SIZE)) {
        *v = T::get(b);
    }
}

fn add<T: Wire>(bytes: &[u8], x: &mut [T]) {
    for (v, b) in x.iter_mut().zip(bytes.chunks_exact(T::SIZE)) {
        *v += T::get(b);
    }
}

impl<L: Links> Mesh<L> {
    pub fn new(links: L) -> Self {
        let inbox = vec![Vec::new(); links.world()];
        Self { links, number: 0, broken: false, inbox, bytes: Vec::new() }
    }

    fn exchange(
        &mut self,
        name: &'static str,
        kind: u32,
        out: &[Option<&[u8]>],
        from: &[Option<Length>],
    ) -> Result<(), CommError> {
        if self.broken {
            return Err(CommError::Broken);
        }
        self.number += 1;
        let call = Call { name, kind, number: self.number };
        let done = self.links.exchange(call, out, from, &mut self.inbox);
        self.broken = done.is_err();
        done
    }

    /// One length for every other rank, none for this one.
    fn others(&self, length: Length) -> Vec<Option<Length>> {
        let (rank, world) = (self.links.rank(), self.links.world());
        (0..world).map(|p| (p != rank).then_some(length)).collect()
    }

    /// Sums `own` with the received parts, in the order of ranks.
    fn sum_in_order<T: Wire>(&self, own: &mut [T]) {
        let rank = self.links.rank();
        if rank == 0 {
            for p in 1..self.links.world() {
                add(&self.inbox[p], own);
            }
            return;
        }
        // Ranks below this one come first, so the sum starts from rank 0's values, not from one's own.
        let mut sum = own.to_vec();
        read(&self.inbox[0], &mut sum);
        for p in 1..self.links.world() {
            if p == rank {
                for (s, o) in sum.iter_mut().zip(own.iter()) {
                    *s += *o;
                }
            } else {
                add(&self.inbox[p], &mut sum);
            }
        }
        own.copy_from_slice(&sum);
    }

    fn reduce<T: Wire>(&mut self, x: &mut [T]) -> Result<(), CommError> {
        let (rank, world) = (self.links.rank(), self.links.world());
        if world == 1 {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        write(x, &mut bytes);
        if bytes.len() <= SMALL {
            let out: Vec<_> = (0..world).map(|p| (p != rank).then_some(bytes.as_slice())).collect();
            self.exchange("all-reduce", 1, &out, &self.others(Length::Exact(bytes.len())))?;
            self.sum_in_order(x);
        } else {
            // Rank r sums part r of everybody, then gives it to everybody.
            let len = x.len();
            let cut = |r: usize| len * r / world;
            let own = cut(rank)..cut(rank + 1);
            let out: Vec<_> =
                (0..world).map(|p| (p != rank).then(|| &bytes[cut(p) * T::SIZE..cut(p + 1) * T::SIZE])).collect();
            self.exchange("reduce-scatter", 2, &out, &self.others(Length::Exact(own.len() * T::SIZE)))?;
            self.sum_in_order(&mut x[own.clone()]);
            write(&x[own], &mut bytes);
            let out: Vec<_> = (0..world).map(|p| (p != rank).then_some(bytes.as_slice())).collect();
            let from: Vec<_> =
                (0..world).map(|p| (p != rank).then(|| Length::Exact((cut(p + 1) - cut(p)) * T::SIZE))).collect();
            self.exchange("all-gather of sums", 3, &out, &from)?;
            for p in (0..world).filter(|p| *p != rank) {
                read(&self.inbox[p], &mut x[cut(p)..cut(p + 1)]);
            }
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Sends `bytes` from the root; on the others the root's frame is in the inbox afterwards.
    fn send_from(&mut self, root: usize, bytes: &[u8], length: Length) -> Result<(), CommError> {
        let (rank, world) = (self.links.rank(), self.links.world());
        if root >= world {
            return Err(CommError::Forming(format!("rank {root} of a gang of {world} cannot be a root")));
        }
        let out: Vec<_> = (0..world).map(|p| (rank == root && p != rank).then_some(bytes)).collect();
        let from: Vec<_> = (0..world).map(|p| (rank != root && p == root).then_some(length)).collect();
        self.exchange("broadcast", 4, &out, &from)
    }

    fn spread<T: Wire>(&mut self, root: usize, x: &mut [T]) -> Result<(), CommError> {
        let mut bytes = std::mem::take(&mut self.bytes);
        if self.links.rank() == root {
            write(x, &mut bytes);
        }
        self.send_from(root, &bytes, Length::Exact(x.len() * T::SIZE))?;
        if self.links.rank() != root {
            read(&self.inbox[root], x);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl<L: Links> Collective for Mesh<L> {
    fn rank(&self) -> usize {
        self.links.rank()
    }
    fn world(&self) -> usize {
        self.links.world()
    }
    fn all_reduce_sum(&mut self, x: &mut [f32]) -> Result<(), CommError> {
        self.reduce(x)
    }
    fn all_reduce_sum_f64(&mut self, x: &mut [f64]) -> Result<(), CommError> {
        self.reduce(x)
    }
    fn broadcast(&mut self, root: usize, bytes: &mut Vec<u8>) -> Result<(), CommError> {
        self.send_from(root, bytes, Length::UpTo(MAX_BYTES))?;
        if self.links.rank() != root {
            bytes.clone_from(&self.inbox[root]);
        }
        Ok(())
    }
    fn broadcast_f32(&mut self, root: usize, x: &mut [f32]) -> Result<(), CommError> {
        self.spread(root, x)
    }
    fn broadcast_f64(&mut self, root: usize, x: &mut [f64]) -> Result<(), CommError> {
        self.spread(root, x)
    }
    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CommError> {
        let (rank, world) = (self.links.rank(), self.links.world());
        let out: Vec<_> = (0..world).map(|p| (p != rank).then_some(mine)).collect();
        self.exchange("all-gather", 5, &out, &self.others(Length::UpTo(MAX_BYTES)))?;
        Ok((0..world).map(|p| if p == rank { mine.to_vec() } else { self.inbox[p].clone() }).collect())
    }
    fn barrier(&mut self) -> Result<(), CommError> {
        let (rank, world) = (self.links.rank(), self.links.world());
        let out: Vec<_> = (0..world).map(|p| (p != rank).then_some([].as_slice())).collect();
        self.exchange("barrier", 6, &out, &self.others(Length::Exact(0)))
    }
}
