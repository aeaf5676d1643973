//! What an outer record does to a site's own parameters. Pure.
use coalition_protocol::record::Outer;
use coalition_protocol::{Incarnation, SiteId};

use super::cursor::Cursor;

/// What a commit does to x (D16, D18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// x ← θ': the site's work is in it, or it had none.
    Take,
    /// x ← x + (θ' − θ): the site's work stays, as late work.
    Shift,
    /// x ← θ': its late work is dropped.
    Drop,
}

/// The effect of an outer record on a site that stands at `cursor`.
pub fn effect(outer: &Outer, site: &SiteId, incarnation: Incarnation, cursor: &Cursor) -> Effect {
    if outer.included.iter().any(|i| &i.key.site == site && i.key.incarnation == incarnation) {
        return Effect::Take;
    }
    match outer.left_out.iter().find(|l| &l.site == site && l.incarnation == incarnation) {
        Some(l) if l.returned => Effect::Drop,
        _ if cursor.has_work() => Effect::Shift,
        _ => Effect::Take,
    }
}
