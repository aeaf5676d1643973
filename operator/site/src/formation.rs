//! A gang's formation as its object's status holds it, and as its gateway works with it. Pure: each way loses nothing but the
//! token, which lies in a Secret.
use std::collections::BTreeMap;

use coalition_crds::gang::{GangProcess, GangStatus, GoneProcess, LastExit};
use coalition_gateway::GangState;
use coalition_gateway::gang::{Gone, Joined};
use coalition_protocol::{Attempt, Incarnation};

/// A status that no gateway wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("status of the Gang: {0}; remove the object's status, and the gang forms anew")]
pub struct Damaged(String);

/// What the gateway works with. `token` is what the Secret holds.
pub fn read(status: &GangStatus, token: String) -> Result<GangState, Damaged> {
    let damaged = |field: &str, what: &dyn std::fmt::Display| Damaged(format!("{field} {what}"));
    let process = |field: &str, p: &GangProcess| {
        let class = p.class.parse().map_err(|e| damaged(field, &format!("of worker {}: {e}", p.worker)))?;
        Ok((index(p.worker), Joined { process: p.process.clone(), listen: p.listen.clone(), class }))
    };
    let mut members = Vec::with_capacity(status.members.len());
    for (at, p) in status.members.iter().enumerate() {
        let (worker, joined) = process("members", p)?;
        if worker as usize != at {
            return Err(damaged("members", &format!("names worker {worker} at place {at}")));
        }
        members.push(joined);
    }
    let gone =
        |g: &GoneProcess| (index(g.worker), Gone { process: g.process.clone(), exit_code: g.exit_code, left: g.left });
    Ok(GangState {
        attempt: Attempt(number(status.attempt)),
        token,
        members,
        joining: status.joining.iter().map(|p| process("joining", p)).collect::<Result<BTreeMap<_, _>, _>>()?,
        forming: status.forming,
        gone: status.gone.iter().map(gone).collect(),
        last_exit: status.last_exits.iter().map(|l| (index(l.worker), l.process.clone())).collect(),
        failures: status.failures.clone(),
        failed: number(status.failed),
        process_restarts: number(status.process_restarts),
        damaged: status.damaged.map(|d| Incarnation(number(d))),
    })
}

/// Puts a formation into a status; what else stands there stays. `secret` names where its token lies.
pub fn write(state: &GangState, secret: Option<String>, status: &mut GangStatus) {
    let process = |worker: u32, j: &Joined| GangProcess {
        worker: signed(worker),
        process: j.process.clone(),
        listen: j.listen.clone(),
        class: j.class.to_string(),
    };
    status.attempt = large(state.attempt.0);
    status.forming = state.forming;
    status.token_secret_name = secret;
    status.members = state.members.iter().enumerate().map(|(w, j)| process(w as u32, j)).collect();
    status.joining = state.joining.iter().map(|(w, j)| process(*w, j)).collect();
    let gone = |(w, g): (&u32, &Gone)| GoneProcess {
        worker: signed(*w),
        process: g.process.clone(),
        exit_code: g.exit_code,
        left: g.left,
    };
    status.gone = state.gone.iter().map(gone).collect();
    let exit = |(w, p): (&u32, &String)| LastExit { worker: signed(*w), process: p.clone() };
    status.last_exits = state.last_exit.iter().map(exit).collect();
    status.failures.clone_from(&state.failures);
    status.failed = large(state.failed);
    status.process_restarts = large(state.process_restarts);
    status.damaged = state.damaged.map(|d| large(d.0));
}

fn index(n: i32) -> u32 {
    u32::try_from(n).unwrap_or(0)
}
fn number(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
fn signed(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
fn large(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use coalition_protocol::Digest;
    use coalition_protocol::messages::Failure;

    use super::*;

    #[test]
    fn a_formation_comes_back_as_it_went_and_the_token_stays_out_of_it() {
        let joined = |n: u8| Joined { process: format!("p{n}"), listen: "10.0.0.1:1".into(), class: Digest::of(&[n]) };
        let state = GangState {
            attempt: Attempt(7),
            token: "hush".into(),
            members: vec![joined(1), joined(2)],
            joining: [(1, joined(3))].into(),
            forming: true,
            gone: [(0, Gone { process: "p1".into(), exit_code: -1, left: false })].into(),
            last_exit: [(0, "p1".to_owned())].into(),
            failures: vec![Failure { number: 4, worker: 0, exit_code: 1, log: "why".into() }],
            failed: 4,
            process_restarts: 9,
            damaged: Some(Incarnation(3)),
        };
        let mut status = GangStatus { workers_ready: 5, ..GangStatus::default() };
        write(&state, Some("secret".into()), &mut status);
        assert_eq!(read(&status, "hush".into()), Ok(state));
        assert_eq!((status.workers_ready, status.token_secret_name.as_deref()), (5, Some("secret")));
        assert!(!serde_json::to_string(&status).unwrap().contains("hush"));
        status.members.reverse();
        assert!(read(&status, String::new()).is_err(), "a member at another's place");
    }
}
