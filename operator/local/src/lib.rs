//! A whole coalition on one machine: the planner and gateway of the cluster, sites as folders, workers as processes.
