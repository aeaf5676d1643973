//! A rank other than 0: it waits for decisions and acts. Must not know why.
use super::decisions::await_decision;
use super::rank::{Done, Rank};
use crate::alive::turned;
use crate::events::{Nothing, emit};
use crate::failure::Stop;

/// Follows rank 0 until the gang parts; gives the exit code.
pub fn follow(rank: &mut Rank<'_>) -> Result<u8, Stop> {
    let mut theta = Vec::new();
    let mut stepped = false;
    loop {
        turned();
        let decision = await_decision(rank.comm.as_mut())?;
        match rank.perform(&decision, &mut theta)? {
            Done::Left(Some(code)) => return Ok(code),
            Done::Left(None) => return Err(Stop::Rejoin("rank 0 forms the gang again".to_owned())),
            Done::Stepped(..) if !stepped => {
                stepped = true;
                emit("firstStep", Nothing {});
            }
            _ => {}
        }
    }
}
