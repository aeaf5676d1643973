//! What the workers of a gang shall do, from what the hub asks and what the site's owner says. Must not know any pod.
use coalition_protocol::messages::Desired;

/// What the workers shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Train.
    Run,
    /// Save and leave by themselves: their gateway tells them to.
    Leave,
    /// Leave now, with the time a pod has to do so.
    Stop,
    /// Be gone: what they still did could only be wrong.
    Kill,
}

/// What bears on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// What the hub asks; none if it was seen that it asks nothing any more.
    pub desired: Option<Desired>,
    /// The run has its end record.
    pub over: bool,
    /// The site's store was lost (D8).
    pub store_lost: bool,
    /// The site's owner stopped it.
    pub owner_stop: bool,
}

/// What the workers shall do.
pub fn wanted(r: &Request) -> Wanted {
    match r.desired {
        _ if r.store_lost => Wanted::Kill,
        // Saved work is what an owner's stop leaves, as a suspended run does.
        _ if r.owner_stop || r.over => Wanted::Leave,
        Some(Desired::Run) => Wanted::Run,
        // A hub that shows no request was seen to have none; it may be one that lost its objects, so the work is saved.
        None | Some(Desired::Suspend) => Wanted::Leave,
        Some(Desired::Stop) => Wanted::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_store_comes_before_all_else_and_the_owner_before_the_hub() {
        let run = Request { desired: Some(Desired::Run), ..Request::default() };
        let cases = [
            (run, Wanted::Run),
            (Request { over: true, ..run }, Wanted::Leave),
            (Request { owner_stop: true, ..run }, Wanted::Leave),
            (Request { owner_stop: true, store_lost: true, ..run }, Wanted::Kill),
            (Request { desired: Some(Desired::Suspend), ..run }, Wanted::Leave),
            (Request { desired: Some(Desired::Stop), ..run }, Wanted::Stop),
            (Request { desired: Some(Desired::Stop), over: true, ..run }, Wanted::Leave),
            (Request { desired: None, ..run }, Wanted::Leave),
        ];
        for (request, expected) in cases {
            assert_eq!(wanted(&request), expected, "{request:?}");
        }
    }
}
