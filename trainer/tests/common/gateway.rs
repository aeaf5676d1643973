//! The gateways of the test's hub: what one site's trainer asks and is answered.
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coalition_protocol::messages::{
    Desired, ErrorReply, JoinReply, JoinRequest, Orders, Permit, PermitRequest, SiteRun, TrainerReport, ViewReply,
};
use coalition_protocol::{Attempt, SiteId};
use serde::Serialize;

use super::http::{Answer, Request, serve};
use super::hub::Hub;

/// Who is let in.
#[derive(Debug, Default)]
pub struct Guard {
    pub token: String,
    pub refused: u32,
}

impl Hub {
    /// The gateway of one site; gives its address.
    pub fn gateway(&self, site: &SiteId) -> String {
        let (hub, site) = (self.clone(), site.clone());
        serve(move |r| hub.answer(&site, &r))
    }

    /// The same below a path, as one gateway serves several gangs. It lets in whoever carries `token`, and counts whom it
    /// turned away.
    pub fn guarded_gateway(&self, site: &SiteId, token: &Arc<Mutex<Guard>>) -> String {
        const BELOW: &str = "/gangs/team/tiny";
        let (hub, site, guard) = (self.clone(), site.clone(), token.clone());
        let address = serve(move |mut r| {
            let mut guard = guard.lock().unwrap();
            if r.token != guard.token {
                guard.refused += 1;
                return refuse(401, "Unauthorized", "the bearer token is not known here");
            }
            drop(guard);
            match r.path.strip_prefix(BELOW).map(str::to_owned) {
                Some(path) => r.path = path,
                None => return refuse(404, "NotFound", &r.path),
            }
            hub.answer(&site, &r)
        });
        address + BELOW + "/"
    }

    fn answer(&self, site: &SiteId, r: &Request) -> Answer {
        match r.path.as_str() {
            "/v1/join" => self.join(site, &serde_json::from_slice(&r.body).unwrap()),
            "/v1/view" => self.view(site, r),
            "/v1/report" => self.report(site, serde_json::from_slice(&r.body).unwrap()),
            "/v1/exit" => {
                self.change(|s| s.site(site).exits.push(serde_json::from_slice(&r.body).unwrap()));
                ok(&self.permit(site))
            }
            "/v1/permit" => {
                let request: PermitRequest = serde_json::from_slice(&r.body).unwrap();
                // Nobody waits for this: no change is announced.
                let mut s = self.lock();
                let seen = &mut s.site(site).still;
                *seen = request.still_millis.max(*seen);
                drop(s);
                ok(&self.permit(site))
            }
            other => refuse(404, "NotFound", other),
        }
    }

    fn permit(&self, site: &SiteId) -> Permit {
        let s = self.lock();
        let leave = s.view.ended().is_some() || s.sites[site].desired != Desired::Run;
        Permit { millis: None, orders: if leave { Orders::Leave } else { Orders::Restart } }
    }

    fn join(&self, id: &SiteId, request: &JoinRequest) -> Answer {
        let until = Instant::now() + Duration::from_secs(20);
        let mut s = self.lock();
        if s.view.ended().is_some() {
            return refuse(410, "RunOver", "the run is over");
        }
        loop {
            let site = s.site(id);
            let seated = site.members.get(request.worker as usize).is_some_and(|m| m.process == request.process);
            if seated && site.joining.is_empty() && request.after.is_none_or(|a| a < site.attempt) {
                let peers = site.members.iter().map(|m| m.listen.clone()).collect();
                return ok(&JoinReply { attempt: site.attempt, peers, token: "ab".repeat(32) });
            }
            if site.joining.get(&request.worker).map(|j| &j.process) != Some(&request.process) {
                site.joining.insert(request.worker, request.clone());
                if site.joining.len() == site.workers as usize {
                    site.members = std::mem::take(&mut site.joining).into_values().collect();
                    site.attempt = site.attempt.next();
                }
                s.version += 1;
                self.0.1.notify_all();
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return refuse(503, "Unavailable", "the gang is not complete");
            }
            s = self.0.1.wait_timeout(s, left).unwrap().0;
        }
    }

    fn view(&self, id: &SiteId, r: &Request) -> Answer {
        let millis = r.query("waitMillis").map_or(0, |w| w.parse().unwrap());
        let until = Instant::now() + Duration::from_millis(millis);
        let known = r.query("version").map(|v| v.parse::<u64>().unwrap());
        let mut s = self.lock();
        while known == Some(s.version) && Instant::now() < until {
            s = self.0.1.wait_timeout(s, until.saturating_duration_since(Instant::now())).unwrap().0;
        }
        let next = r.query("after").map_or(0, |a| a.parse::<usize>().unwrap() + 1);
        let site = &s.sites[id];
        let forming = u64::from(!site.joining.is_empty());
        ok(&ViewReply {
            version: s.version,
            gateway: "one".to_owned(),
            site_run: SiteRun {
                run: s.view.run().clone(),
                site: id.clone(),
                epoch: s.view.head().epoch,
                incarnation: site.incarnation,
                nonce: "n".to_owned(),
                desired: site.desired,
                head: s.view.head(),
                spec: s.spec.clone(),
                peers: Vec::new(),
                offers: Vec::new(),
                disagreement: s.disagreement(),
                keep: Vec::new(),
                save: Vec::new(),
                requires: Vec::new(),
            },
            records: s.chain[next.min(s.chain.len())..].to_vec(),
            held: site.held.iter().cloned().collect(),
            attempt: Attempt(site.attempt.0 + forming),
            store_lost: false,
        })
    }

    fn report(&self, id: &SiteId, report: TrainerReport) -> Answer {
        let mut stale = false;
        self.change(|s| {
            let head = s.view.head();
            assert!(report.head.seq <= head.seq, "a site is ahead of the hub");
            assert_eq!(s.chain[report.head.seq.0 as usize].record.digest().unwrap(), report.head.digest);
            let site = s.site(id);
            if report.attempt != site.attempt || report.incarnation != site.incarnation {
                stale = true;
                return;
            }
            let how = report.progress.resumed.map(|r| format!("{r:?}")).unwrap_or_default();
            if site.report.as_ref().is_none_or(|old| old.attempt != report.attempt) {
                site.resumed.push(how);
            }
            site.held.extend(report.offers.iter().map(|o| o.key.clone()));
            site.report = Some(report.clone());
            if let Some(state) = report.state {
                s.states.entry(state.of).or_default().insert(id.clone(), state);
            }
        });
        if stale { refuse(409, "StaleFence", "join again") } else { ok(&serde_json::json!({})) }
    }
}

fn ok<T: Serialize>(value: &T) -> Answer {
    (200, serde_json::to_string(value).unwrap())
}

fn refuse(status: u16, reason: &str, message: &str) -> Answer {
    (status, serde_json::to_string(&ErrorReply { reason: reason.to_owned(), message: message.to_owned() }).unwrap())
}
