//! Exit codes of the trainer: what the supervisor, the runner and the operator's failure rules go by.

/// The run ended, and the gateway confirmed it.
pub const FINISHED: u8 = 0;
/// Bad configuration: restarting cannot help.
pub const CONFIG: u8 = 64;
/// Bad or missing data.
pub const DATA: u8 = 65;
/// A damaged checkpoint.
pub const CHECKPOINT: u8 = 66;
/// The gateway is gone for good, or no longer wants this worker.
pub const GATEWAY: u8 = 69;
/// A bug.
pub const BUG: u8 = 70;
/// Try again: a peer was lost, a store did not answer.
pub const TRY_AGAIN: u8 = 75;
/// Stopped by SIGTERM after saving.
pub const STOPPED: u8 = 143;

/// What a code means, for people.
pub const fn meaning(code: i32) -> &'static str {
    match code {
        0 => "finished and confirmed",
        64 => "bad configuration",
        65 => "bad data",
        66 => "damaged checkpoint",
        69 => "gateway gone for good",
        70 => "bug in the trainer",
        75 => "temporary failure, try again",
        137 => "killed (SIGKILL)",
        143 => "stopped after saving",
        _ => "unknown exit code",
    }
}
