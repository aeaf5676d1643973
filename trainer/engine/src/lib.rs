//! Stage-wise backward, accumulation, clipping, AdamW, schedules.
