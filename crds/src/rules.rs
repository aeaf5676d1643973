//! CEL rules that several types share. A message says what is wrong, why, and what to do instead. A rule about two fields is
//! told of the one to change (`field_path`); its message then begins with "is VALUE: ", as a server shows no value there.
use kube::core::{Message, Reason, Rule};

/// The field keeps its first value.
///
/// `why` completes "cannot change after creation: …" and ends with what to do instead.
pub fn fixed(why: &str) -> Rule {
    Rule::new("self == oldSelf")
        .message(Message::Message(format!("cannot change after creation: {why}")))
        .reason(Reason::FieldValueForbidden)
}

/// The same for a field of the spec that may be absent: none is a value too.
pub fn fixed_if_any(field: &str, why: &str) -> Rule {
    let value = |of: &str| format!("(has({of}.{field}) ? {of}.{field} : '')");
    Rule { rule: format!("{} == {}", value("self"), value("oldSelf")), ..fixed(why) }.field_path(format!(".{field}"))
}

/// A rule with a message.
pub fn rule(cel: &str, message: &str) -> Rule {
    Rule::new(cel).message(message).reason(Reason::FieldValueInvalid)
}

/// A rule whose message is computed, so that it can name values; `message` stands in where it cannot be.
pub fn computed(cel: &str, expression: &str) -> Rule {
    Rule::new(cel).message(Message::Expression(expression.to_owned())).reason(Reason::FieldValueInvalid)
}
