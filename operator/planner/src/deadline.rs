//! When to decide again if nothing is observed: the nearest instant at which time alone changes something.
use crate::standing::Standing;
use crate::time::Millis;
use crate::windows::{self, Window};
use crate::world::World;
use crate::{end, genesis, members, plans, void};

/// The nearest of `instants` after `now`.
fn nearest(now: Millis, instants: impl IntoIterator<Item = Option<Millis>>) -> Option<Millis> {
    instants.into_iter().flatten().filter(|t| *t > now).min()
}

/// Before genesis: sites that were waited for, or whose contact grows old.
pub fn before_genesis(world: &World, now: Millis) -> Option<Millis> {
    let contacts = world.sites.values().map(|s| s.contact.map(|t| t.plus(genesis::GATHER_MILLIS)));
    nearest(now, contacts.chain([Some(world.leader.since.plus(genesis::gather(world)))]))
}

/// With a history.
pub fn next(s: &Standing<'_>) -> Option<Millis> {
    if s.view.ended().is_some() {
        return None;
    }
    let window = match windows::window(s) {
        Window::Offers { until, .. } | Window::Holds { until, .. } => Some(until),
        Window::Training | Window::Closed => None,
    };
    let window_ends = [window, s.clock().quorum.map(|t| t.plus(s.grace()))];
    let of_sites = s.members().flat_map(|(site, _)| {
        let silent = s.silent_since(site);
        [silent.map(|t| t.plus(s.grace())), members::retire_at(s, site)]
    });
    let of_run = [
        Some(s.world.leader.since.plus(s.grace())),
        Some(plans::patience_ends(s)),
        void::deadline(s),
        windows::apart_until(s),
        end::deadline(s),
    ];
    nearest(s.now, of_sites.chain(window_ends).chain(of_run))
}
