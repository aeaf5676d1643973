//! A hub beside the simulated one that keeps only what it still needs of the history: it must decide the same, whatever
//! happens. Must not change what the other one sees, but for what sites say of themselves.
use coalition_planner::status::Reason;
use coalition_planner::{Decision, Millis, Standing, World, forget, plan};
use coalition_protocol::history::View;

use super::Sim;

impl Sim {
    /// From now on a hub that forgets decides beside this one.
    pub fn beside_one_that_forgets(&mut self) {
        self.twin = self.world.view.clone().map(|v| (v, 0));
    }

    /// The world with the history that a hub that forgets has.
    fn forgetful(&self) -> Option<World> {
        let (view, _) = self.twin.as_ref()?;
        Some(World { view: Some(view.clone()), ..self.world.clone() })
    }

    /// What the twin decides, if there is one, must be this.
    pub(super) fn compare(&self, decided: &Decision) {
        let Some(world) = self.forgetful() else { return };
        let mut other = plan(&world, Millis(self.now));
        // Which of the lost records was the first is forgotten with them; that they are lost is not.
        if decided.status.reason == Reason::StateLost {
            other.status.message.clone_from(&decided.status.message);
        }
        assert_eq!(other, *decided, "a hub that forgets decides otherwise");
    }

    /// Lets the twin forget what it may, write the rest down and read it again.
    pub(super) fn forget(&mut self) {
        let Some(world) = self.forgetful() else { return };
        let (view, memory) = (world.view.as_ref().unwrap(), &world.memory);
        let standing = Standing::new(&world, view, memory, Millis(self.now));
        if let Some(due) = forget::due(&standing) {
            let mut less = view.clone();
            due.apply(&mut less);
            assert_eq!(less.first_commit(), due.floor);
            let again = View::from_text(&less.to_text().unwrap()).unwrap();
            assert_eq!(again, less);
            // What was learnt on the way counts for both: it is in no record.
            if let Some(full) = &mut self.world.view {
                full.learn(&due.at);
            }
            let times = self.twin.take().map_or(0, |(_, n)| n);
            self.twin = Some((again, times + 1));
        }
    }
}
