//! The run permit: a duration that counts from when its renewal was *sent*, on a clock that goes on while the machine
//! sleeps. So a site that is cut off stops before the hub may start a replacement. Must not know how a worker is stopped.
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use coalition_protocol::messages::PermitRequest;

use super::pulse::Shared;
use super::{Happening, wanted};
use crate::events::boot_millis;
use crate::gateway::Gateway;

/// Between renewals. Short beside any stop time (30 s is the least the API takes), cheap for a gateway on the same site.
const RENEW: Duration = Duration::from_secs(1);

/// Renews while it lives.
pub(super) struct Watch {
    _stop: Sender<()>,
}

impl Watch {
    /// Starts to renew for one process, and tells when the permit is lost or the orders change.
    pub fn start(gateway: Gateway, worker: u32, process: String, pulse: Shared, tell: Sender<Happening>) -> Self {
        let (stop, stopped) = channel();
        let request = PermitRequest { worker, process, still_millis: 0 };
        thread::spawn(move || renew(&gateway, request, &pulse, &tell, &stopped));
        Self { _stop: stop }
    }
}

fn renew(
    gateway: &Gateway,
    mut request: PermitRequest,
    pulse: &Shared,
    tell: &Sender<Happening>,
    stopped: &Receiver<()>,
) {
    let mut permit = Deadline::default();
    let mut was_wanted = true;
    let mut hung = false;
    loop {
        if matches!(stopped.recv_timeout(RENEW), Ok(()) | Err(RecvTimeoutError::Disconnected)) {
            return;
        }
        let (still, too_long) = pulse.pass(Instant::now());
        if too_long && !std::mem::replace(&mut hung, true) && tell.send(Happening::Hung(still)).is_err() {
            return;
        }
        request.still_millis = still.as_millis() as u64;
        let sent = boot_millis();
        match gateway.permit(&request) {
            Ok(p) => {
                permit.renewed(sent, p.millis);
                let now_wanted = wanted(Some(p.orders));
                if now_wanted != was_wanted && tell.send(Happening::Wanted(now_wanted)).is_err() {
                    return;
                }
                was_wanted = now_wanted;
            }
            Err(e) => tracing::debug!("{e}"),
        }
        if permit.passed(boot_millis()) {
            let _ = tell.send(Happening::PermitLost);
            return;
        }
    }
}

/// Until when the process may run. Without any answer yet there is no limit: the process has just been started by one that
/// was allowed to.
#[derive(Debug, Default)]
struct Deadline(Option<u64>);

impl Deadline {
    fn renewed(&mut self, sent: u64, millis: Option<u64>) {
        self.0 = millis.map(|m| sent.saturating_add(m));
    }
    fn passed(&self, now: u64) -> bool {
        self.0.is_some_and(|t| now >= t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_the_sending() {
        let mut d = Deadline::default();
        assert!(!d.passed(u64::MAX));
        d.renewed(1000, Some(500));
        assert!(!d.passed(1499) && d.passed(1500));
        d.renewed(1400, Some(500));
        assert!(!d.passed(1899) && d.passed(1900));
        d.renewed(1800, None);
        assert!(!d.passed(u64::MAX));
    }
}
