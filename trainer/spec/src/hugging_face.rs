//! Reading and writing a Hugging Face `config.json`. What would change the maths unnoticed is refused, each key with its
//! reason; what only concerns other programs is left aside. Must not know files.
use serde_json::{Map, Value, json};

use crate::Problem;
use crate::model::{Activation, Architecture, ModelConfig};

/// Keys that other programs use and that change nothing in training.
const OTHERS: [&str; 14] = [
    "_name_or_path",
    "bos_token_id",
    "chunk_size_feed_forward",
    "dtype",
    "eos_token_id",
    "is_decoder",
    "is_encoder_decoder",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "return_dict",
    "torch_dtype",
    "transformers_version",
    "use_cache",
];

struct Reader<'a> {
    map: &'a Map<String, Value>,
    seen: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// The value of `key`; null counts as absent, as in `transformers`.
    fn get(&mut self, key: &'static str) -> Option<&Value> {
        self.seen.push(key);
        self.map.get(key).filter(|v| !v.is_null())
    }

    fn wrong(&mut self, key: &str, value: &Value, bound: &str, way_out: &str) {
        self.problems.push(Problem::new(key, value, bound, way_out));
    }

    fn size(&mut self, key: &'static str, default: Option<usize>) -> usize {
        let found = self.get(key).cloned();
        match (found, default) {
            (Some(v), _) => {
                let n = v.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
                n.unwrap_or_else(|| {
                    self.wrong(key, &v, "must be a whole number above zero", "Copy it from the model's config.json.");
                    1
                })
            }
            (None, Some(d)) => d,
            (None, None) => {
                self.problems.push(Problem::new(
                    key,
                    "",
                    "is missing and has no default",
                    "Copy it from the model's config.json, or use a preset.",
                ));
                1
            }
        }
    }

    fn real(&mut self, key: &'static str, default: f64) -> f64 {
        let Some(v) = self.get(key).cloned() else { return default };
        v.as_f64().filter(|x| x.is_finite()).unwrap_or_else(|| {
            self.wrong(key, &v, "must be a finite number", "Copy it from the model's config.json.");
            default
        })
    }

    fn flag(&mut self, key: &'static str) -> bool {
        let Some(v) = self.get(key).cloned() else { return false };
        v.as_bool().unwrap_or_else(|| {
            self.wrong(key, &v, "must be true or false", "Copy it from the model's config.json.");
            false
        })
    }

    /// A key that is understood only with one value.
    fn only(&mut self, key: &'static str, allowed: &Value, reason: &str) {
        let Some(v) = self.get(key).cloned() else { return };
        let same = v == *allowed || (v.as_f64().is_some() && v.as_f64() == allowed.as_f64());
        if !same {
            self.wrong(key, &v, reason, "Remove the key, or train a model without it.");
        }
    }
}

/// Reads the keys of a `config.json` for a model of `architecture`; every problem is told, with the key as its field.
pub fn read(value: &Value, architecture: Architecture) -> Result<ModelConfig, Vec<Problem>> {
    let Value::Object(map) = value else {
        return Err(vec![Problem::new("", value, "must be an object", "Give the keys of a Hugging Face config.json.")]);
    };
    let mut r = Reader { map, seen: Vec::new(), problems: Vec::new() };
    let llama = architecture == Architecture::Llama;

    r.only("model_type", &json!(architecture.model_type()), "is not the architecture asked for");
    r.only("architectures", &json!([architecture.class()]), "is not the architecture asked for");
    r.only("attention_dropout", &json!(0.0), "must be 0: dropout is not supported");
    r.only("hidden_dropout", &json!(0.0), "must be 0: dropout is not supported");
    r.only("pretraining_tp", &json!(1), "must be 1: it changes the order of sums");
    r.only("rope_scaling", &Value::Null, "is not supported: it changes the rotary frequencies");
    r.only("sliding_window", &Value::Null, "is not supported: it changes which positions are attended");
    r.only("quantization_config", &Value::Null, "is not supported: training needs full-precision parameters");

    let heads = r.size("num_attention_heads", None);
    let hidden = r.size("hidden_size", None);
    if r.map.get("head_dim").is_none_or(Value::is_null) && !hidden.is_multiple_of(heads) {
        r.wrong(
            "num_attention_heads",
            &json!(heads),
            &format!("must divide hidden_size = {hidden} when head_dim is not given"),
            "Give head_dim, or a number of heads that divides hidden_size.",
        );
    }
    let mut rope_theta = r.real("rope_theta", 10_000.0);
    let mut partial = r.real("partial_rotary_factor", if llama { 1.0 } else { 0.5 });
    if let Some(v) = r.get("rope_parameters").cloned() {
        rotary(&v, &mut rope_theta, &mut partial, &mut r.problems);
    }
    let hidden_act = r.get("hidden_act").cloned();
    if let Some(v) = hidden_act {
        let name = match architecture.activation() {
            Activation::Silu => "silu",
            Activation::Relu2 => "relu2",
        };
        if v.as_str() != Some(name) {
            r.wrong("hidden_act", &v, &format!("must be {name} for {architecture}"), "Use another architecture.");
        }
    }
    let config = ModelConfig {
        model_type: architecture,
        vocab_size: r.size("vocab_size", None),
        hidden_size: hidden,
        intermediate_size: r.size("intermediate_size", None),
        num_hidden_layers: r.size("num_hidden_layers", None),
        num_attention_heads: heads,
        num_key_value_heads: r.size("num_key_value_heads", Some(heads)),
        head_dim: r.size("head_dim", Some((hidden / heads).max(1))),
        max_position_embeddings: r.size("max_position_embeddings", None),
        // Defaults of LlamaConfig and NemotronConfig in transformers.
        norm_eps: if llama { r.real("rms_norm_eps", 1e-6) } else { r.real("norm_eps", 1e-5) },
        rope_theta,
        partial_rotary_factor: partial,
        tie_word_embeddings: r.flag("tie_word_embeddings"),
        initializer_range: r.real("initializer_range", if llama { 0.02 } else { 0.0134 }),
        hidden_act: architecture.activation(),
        attention_bias: r.flag("attention_bias"),
        mlp_bias: r.flag("mlp_bias"),
    };
    for (key, v) in r.map {
        if !r.seen.contains(&key.as_str()) && !OTHERS.contains(&key.as_str()) {
            r.problems.push(Problem::new(
                key.clone(),
                v,
                format!("is not a key this version knows for {architecture}, and it may change the maths"),
                "Check its spelling; remove it if the model trains the same without it.",
            ));
        }
    }
    if r.problems.is_empty() { Ok(config) } else { Err(r.problems) }
}

/// The nested form that newer versions of `transformers` write.
fn rotary(v: &Value, theta: &mut f64, partial: &mut f64, problems: &mut Vec<Problem>) {
    let mut wrong = |field: &str, value: &Value, bound: &str| {
        problems.push(Problem::new(field, value, bound, "Only plain rotary positions are supported: use rope_theta."));
    };
    let Value::Object(map) = v else {
        return wrong("rope_parameters", v, "must be an object");
    };
    for (key, value) in map {
        let field = format!("rope_parameters.{key}");
        match (key.as_str(), value.as_f64()) {
            ("rope_type", _) if value.as_str() == Some("default") => {}
            ("rope_theta", Some(x)) => *theta = x,
            ("partial_rotary_factor", Some(x)) => *partial = x,
            ("rope_type", _) => wrong(&field, value, "must be \"default\""),
            ("rope_theta" | "partial_rotary_factor", None) => wrong(&field, value, "must be a number"),
            _ => wrong(&field, value, "is not supported: it changes the rotary frequencies"),
        }
    }
}

/// Writes the `config.json` with which `transformers` opens the model. Token ids are the tokenizer's, so the caller adds
/// them.
pub fn write(config: &ModelConfig) -> Map<String, Value> {
    let a = config.model_type;
    let (eps, act) = match a {
        Architecture::Llama => ("rms_norm_eps", "silu"),
        Architecture::Nemotron => ("norm_eps", "relu2"),
    };
    let mut m = Map::new();
    let mut put = |k: &str, v: Value| m.insert(k.to_owned(), v);
    put("architectures", json!([a.class()]));
    put("model_type", json!(a.model_type()));
    put("vocab_size", json!(config.vocab_size));
    put("hidden_size", json!(config.hidden_size));
    put("intermediate_size", json!(config.intermediate_size));
    put("num_hidden_layers", json!(config.num_hidden_layers));
    put("num_attention_heads", json!(config.num_attention_heads));
    put("num_key_value_heads", json!(config.num_key_value_heads));
    put("head_dim", json!(config.head_dim));
    put("max_position_embeddings", json!(config.max_position_embeddings));
    put(eps, json!(config.norm_eps));
    put("rope_theta", json!(config.rope_theta));
    if a == Architecture::Nemotron {
        put("partial_rotary_factor", json!(config.partial_rotary_factor));
    }
    put("tie_word_embeddings", json!(config.tie_word_embeddings));
    put("initializer_range", json!(config.initializer_range));
    put("hidden_act", json!(act));
    put("attention_bias", json!(config.attention_bias));
    put("mlp_bias", json!(config.mlp_bias));
    put("attention_dropout", json!(0.0));
    m
}
