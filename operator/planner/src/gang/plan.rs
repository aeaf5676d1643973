//! What to do about a gang's pods. Must not know what a pod is made of: it names a worker and a birth, or an identity to delete.
use super::{End, Memory, Node, Observed, Pod, State, Wanted};
use crate::Millis;
use crate::time::seconds;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Tell the gang's state that a pod ended. Before its worker gets another one: afterwards nobody knows whose process it was.
    Tell {
        /// The worker.
        index: u32,
        /// The birth.
        birth: i64,
        /// The pod's name.
        name: String,
        /// How it ended.
        end: End,
    },
    /// Note this birth durably, then make the pod.
    Create {
        /// The worker.
        index: u32,
        /// The birth.
        birth: i64,
    },
    /// Delete this pod and no other of its name.
    Delete {
        /// Its name.
        name: String,
        /// Its identity.
        uid: String,
        /// True for at once, whether its node answers or not.
        force: bool,
    },
}

/// What to do, in this order, and when to look again if nothing is seen before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do.
    pub intents: Vec<Intent>,
    /// The next instant at which a pause or a grace ends.
    pub next_deadline: Option<Millis>,
}

impl Plan {
    fn wait(&mut self, until: Millis) {
        self.next_deadline = Some(self.next_deadline.map_or(until, |d| d.min(until)));
    }

    fn delete(&mut self, pod: &Pod, force: bool) {
        self.intents.push(Intent::Delete { name: pod.name.clone(), uid: pod.uid.clone(), force });
    }

    fn create(&mut self, index: u32, o: &Observed) {
        let birth = o.births.get(&index).map_or(1, |b| b + 1);
        self.intents.push(Intent::Create { index, birth });
    }

    fn tell(&mut self, pod: &Pod, end: End, memory: &mut Memory) {
        if memory.tell(pod.index, pod.birth) {
            self.intents.push(Intent::Tell { index: pod.index, birth: pod.birth, name: pod.name.clone(), end });
        }
    }
}

/// Decides. The same observation with the same memory gives the same plan.
pub fn plan(o: &Observed, memory: &mut Memory, now: Millis) -> Plan {
    memory.look(o, now);
    let mut plan = Plan::default();
    if o.wanted != Wanted::Leave {
        memory.leaving = None;
    }
    match o.wanted {
        Wanted::Run => run(o, memory, now, &mut plan),
        Wanted::Leave => leave(o, memory, now, &mut plan),
        Wanted::Stop => stop(o, memory, &mut plan),
        Wanted::Kill => o.pods.iter().for_each(|p| plan.delete(p, true)),
    }
    plan.intents.sort_by_key(|i| match i {
        Intent::Tell { .. } => 0,
        Intent::Create { .. } => 1,
        Intent::Delete { .. } => 2,
    });
    plan
}

/// What becomes of a worker's current pod while all shall train.
enum Course {
    /// It stays.
    Stay,
    /// Another takes its place, but not before this instant if there is one.
    Replace(Option<Millis>),
}

fn run(o: &Observed, memory: &mut Memory, now: Millis, plan: &mut Plan) {
    let mut replaced = Vec::new();
    for index in 0..o.workers {
        let Some(birth) = o.births.get(&index).copied() else {
            replaced.push(index);
            continue;
        };
        let course = match o.current(index) {
            None => Course::Replace(memory.again(index, birth)),
            Some(pod) => course(o, pod, memory, now, plan),
        };
        match course {
            Course::Stay => {}
            Course::Replace(Some(at)) if at > now => plan.wait(at),
            Course::Replace(_) => replaced.push(index),
        }
    }
    if o.hold {
        replaced.clear();
    }
    // One image in all workers: another build computes other bits (D1). Whoever starts brings the others along.
    let staying: Vec<&Pod> = (0..o.workers).filter(|i| !replaced.contains(i)).filter_map(|i| o.current(i)).collect();
    if !o.hold && (!replaced.is_empty() || staying.iter().any(|p| p.image == o.image)) {
        replaced.extend(staying.iter().filter(|p| p.image != o.image).map(|p| p.index));
    }
    for index in &replaced {
        plan.create(*index, o);
    }
    superseded(o, &replaced, plan);
}

fn course(o: &Observed, pod: &Pod, memory: &mut Memory, now: Millis, plan: &mut Plan) -> Course {
    if let State::Ended(end) = pod.state {
        plan.tell(pod, end, memory);
        return Course::Replace(memory.again(pod.index, pod.birth));
    }
    if o.node(pod) != Node::Ready {
        plan.tell(pod, End::Lost, memory);
        return Course::Replace(None);
    }
    match memory.going(pod.index, pod.birth) {
        // Somebody deletes it, or drains its node: it saves first, and its worker's next pod would end that by joining.
        Some(since) if pod.leaving => {
            let late = since.plus(seconds(u64::from(o.grace_seconds)));
            // Before its program began there is nothing to save.
            let late = if pod.state == State::Pending { since } else { late };
            if late <= now {
                plan.tell(pod, End::Lost, memory);
            }
            Course::Replace(Some(late))
        }
        _ => Course::Stay,
    }
}

/// Deletes what is no worker's current pod any more.
fn superseded(o: &Observed, replaced: &[u32], plan: &mut Plan) {
    for pod in &o.pods {
        let current =
            pod.index < o.workers && o.births.get(&pod.index) == Some(&pod.birth) && !replaced.contains(&pod.index);
        let gone = o.node(pod) == Node::Gone;
        // On a node that is gone nobody confirms the deletion. That nothing of it counts is the birth's work.
        if !current && (!pod.leaving || gone) {
            plan.delete(pod, gone);
        }
    }
}

fn leave(o: &Observed, memory: &mut Memory, now: Millis, plan: &mut Plan) {
    let since = *memory.leaving.get_or_insert(now);
    let late = since.plus(seconds(u64::from(o.grace_seconds)));
    tell_ends(o, memory, plan);
    superseded(o, &[], plan);
    for index in 0..o.workers {
        let Some(pod) = o.current(index) else { continue };
        match pod.state {
            // Finished, it stays to be looked at, as a Job's does. One that saved and left would show as an error, and its
            // worker goes on in another.
            State::Ended(End::Exited(0)) => {}
            _ if pod.leaving => {}
            State::Ended(_) | State::Pending => plan.delete(pod, false),
            State::Running if late <= now => plan.delete(pod, false),
            State::Running => plan.wait(late),
        }
    }
}

fn stop(o: &Observed, memory: &mut Memory, plan: &mut Plan) {
    tell_ends(o, memory, plan);
    for pod in &o.pods {
        let gone = o.node(pod) == Node::Gone;
        if !pod.leaving || gone {
            plan.delete(pod, gone);
        }
    }
}

fn tell_ends(o: &Observed, memory: &mut Memory, plan: &mut Plan) {
    for pod in (0..o.workers).filter_map(|i| o.current(i)) {
        if let State::Ended(end) = pod.state {
            plan.tell(pod, end, memory);
        }
    }
}
