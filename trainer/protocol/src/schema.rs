//! How the words of the messages look as JSON schemas: bounds and patterns of what is written as a string. Must not know who
//! carries them; `coalition-crds` makes kinds of a Kubernetes API of them.
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::bits::BatchHash;
use crate::ids::{Attempt, Epoch, Incarnation, Round, Seq};
use crate::intervals::{Interval, IntervalSet};
use crate::messages::bounds;
use crate::{Digest, Real, RunId, SiteId};

/// The largest whole number that every JSON reader keeps exact: 2^53. Larger ones are refused where they enter, so none is
/// ever rounded on the way.
pub const EXACT: u64 = 1 << 53;

/// An object whose fields this schema does not name: its reader checks it whole.
pub fn open(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "additionalProperties": true})
}

/// Why in words by reason: at most as many entries, and as long, as a report may have.
pub fn words(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": bounds::REFUSALS,
        "additionalProperties": {"type": "string", "maxLength": bounds::WORDS},
    })
}

macro_rules! inline {
    ($name:ty, $label:literal, $schema:expr) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                $label.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

fn label() -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"})
}
fn counter() -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 0, "maximum": EXACT})
}
fn hexadecimal(characters: u64) -> Schema {
    json_schema!({
        "type": "string", "minLength": characters, "maxLength": characters, "pattern": format!("^[0-9a-f]{{{characters}}}$"),
    })
}
fn interval() -> Schema {
    json_schema!({"type": "array", "minItems": 2, "maxItems": 2, "items": counter()})
}

inline!(RunId, "RunId", label());
inline!(SiteId, "SiteId", label());
inline!(Seq, "Seq", counter());
inline!(Epoch, "Epoch", counter());
inline!(Incarnation, "Incarnation", counter());
inline!(Attempt, "Attempt", counter());
inline!(Round, "Round", counter());
inline!(Digest, "Digest", hexadecimal(64));
inline!(BatchHash, "BatchHash", hexadecimal(32));
inline!(Interval, "Interval", interval());
inline!(
    IntervalSet,
    "IntervalSet",
    json_schema!({"type": "array", "maxItems": bounds::INTERVALS, "items": interval()})
);
// The shortest decimal that reads back to the same bits has at most 24 characters, such as -2.2250738585072014e-308.
inline!(
    Real,
    "Real",
    json_schema!({"type": "string", "minLength": 1, "maxLength": 24, "pattern": "^-?[0-9]+(\\.[0-9]+)?(e-?[0-9]+)?$"})
);
