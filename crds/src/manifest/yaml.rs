//! Documents of a YAML file as JSON values that remember their lines. Must not know what the documents mean.
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter, options};

use super::place;
use crate::Problem;
use crate::schema::join;

/// One document.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// Its value.
    pub(super) value: Value,
    /// Fields that the document has twice; the first of them counts.
    pub(super) twice: Vec<Problem>,
    lines: BTreeMap<String, u64>,
}

impl Document {
    /// The line of `field`, or of the nearest field around it that the file has.
    pub(super) fn line(&self, field: &str) -> Option<u64> {
        let mut path = field;
        loop {
            if let Some(line) = self.lines.get(path) {
                return Some(*line);
            }
            path = match path.rfind(['.', '[']) {
                Some(cut) => &path[..cut],
                None if path.is_empty() => return None,
                None => "",
            };
        }
    }
}

/// The documents of a file; empty ones are skipped.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, Vec<Problem>> {
    // A number that is not finite has no JSON form: as a string it meets a message that names its field.
    // Keys that stand twice come through, so that both lines can be told, and everything else as well.
    let options = options! {
        with_snippet: false,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
    };
    let nodes: Vec<Spanned<Node>> = serde_saphyr::from_multiple_with_options(text, options).map_err(|e| {
        let place = e.location().filter(|l| l.line() > 0);
        let line = place.map(|l| l.line());
        let column = place.map_or_else(String::new, |l| format!(" at column {}", l.column()));
        // Of this line's or the nearest field before it: what is not YAML has no path of its own.
        let field = line.map(|l| place::field_at(text, l)).unwrap_or_default();
        let what = UserMessageFormatter.format_message(e.without_snippet()).into_owned();
        let bound = format!("the file is not valid YAML{column}: {what}");
        let way_out = "Correct it there, or on the line before; each level is indented by two more spaces, no tabs.";
        vec![Problem::new(field, "", bound, way_out).at(line)]
    })?;
    Ok(nodes
        .into_iter()
        .map(|n| {
            let mut document = Document { value: Value::Null, twice: Vec::new(), lines: BTreeMap::new() };
            let line = n.referenced.line();
            document.value = n.value.into_value("", line, &mut document);
            document
        })
        .collect())
}

/// A YAML node with the places of its parts.
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Mapping(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Node {
    /// Its value; its lines, and what stands twice in it, go into `document`.
    fn into_value(self, path: &str, line: u64, document: &mut Document) -> Value {
        document.lines.insert(path.to_owned(), line);
        match self {
            Self::Scalar(v) => v,
            Self::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(i, n)| n.value.into_value(&format!("{path}[{i}]"), n.referenced.line(), document))
                .collect(),
            Self::Mapping(entries) => {
                let mut map = Map::new();
                for (key, n) in entries {
                    // The key's line, not the value's: a mapping's value begins on the next line.
                    let (at, line) = (join(path, &key.value), key.referenced.line());
                    if map.contains_key(&key.value) {
                        let first = document.lines.get(&at).map_or_else(String::new, ToString::to_string);
                        let bound = format!("stands twice: on line {first} and on line {line}");
                        document.twice.push(Problem::new(at, "", bound, "Remove one of the two."));
                        continue;
                    }
                    let value = n.value.into_value(&at, line, document);
                    map.insert(key.value, value);
                }
                Value::Object(map)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_bool<E>(self, x: bool) -> Result<Node, E> {
        Ok(Node::Scalar(x.into()))
    }
    fn visit_i64<E>(self, x: i64) -> Result<Node, E> {
        Ok(Node::Scalar(x.into()))
    }
    fn visit_u64<E>(self, x: u64) -> Result<Node, E> {
        Ok(Node::Scalar(x.into()))
    }
    fn visit_i128<E>(self, x: i128) -> Result<Node, E> {
        // Beyond 64 bits there is no JSON integer; as a string it meets a message that names its field.
        Ok(Node::Scalar(x.to_string().into()))
    }
    fn visit_u128<E>(self, x: u128) -> Result<Node, E> {
        Ok(Node::Scalar(x.to_string().into()))
    }
    fn visit_f64<E>(self, x: f64) -> Result<Node, E> {
        Ok(Node::Scalar(Number::from_f64(x).map_or_else(|| x.to_string().into(), Value::Number)))
    }
    fn visit_str<E>(self, x: &str) -> Result<Node, E> {
        Ok(Node::Scalar(x.into()))
    }
    fn visit_string<E>(self, x: String) -> Result<Node, E> {
        Ok(Node::Scalar(x.into()))
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }
    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Node, D::Error> {
        Node::deserialize(d)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Mapping(entries))
    }
}
