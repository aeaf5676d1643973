//! What must hold in a run, checked all at once.
