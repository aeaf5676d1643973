//! The run permit: a duration that counts from when its renewal was *sent*, on a clock that goes on while the machine
//! sleeps. So a site that is cut off stops before the hub may start a replacement. Must not know how a worker is stopped.
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

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
    pub fn start(gateway: Gateway, worker: u32, process: String, tell: Sender<Happening>) -> Self {
        let (stop, stopped) = channel();
        thread::spawn(move || renew(&gateway, worker, &process, &tell, &stopped));
        Self { _stop: stop }
    }
}

fn renew(gateway: &Gateway, worker: u32, process: &str, tell: &Sender<Happening>, stopped: &Receiver<()>) {
    let mut permit = Deadline::default();
    let mut was_wanted = true;
    loop {
        if matches!(stopped.recv_timeout(RENEW), Ok(()) | Err(RecvTimeoutError::Disconnected)) {
            return;
        }
        let sent = boot_millis();
        match gateway.permit(worker, process) {
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
