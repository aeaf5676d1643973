//! The hub role: what users ask for becomes plans, records and requests to sites. For each run: observe, plan, apply, report,
//! a file each. Must never learn pods, nodes, or what a site does inside itself.
