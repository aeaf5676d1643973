//! The site role: what the hub asks becomes gangs of pods, what they do becomes reports. Must never learn plans, rounds and
//! commits (the planner's), or what another site is.
