//! Sizes of models: known counts as the oracle, a list by hand, and keys that are refused.
#![allow(clippy::unwrap_used)]
use coalition_spec::hugging_face::{read, write};
use coalition_spec::memory;
use coalition_spec::model::Architecture::{self, Llama, Nemotron};
use coalition_spec::parameters::ParamInit;
use coalition_spec::preset;
use coalition_spec::run::SiteShape;
use coalition_spec::training::Precision;
use coalition_spec::{ModelConfig, Problem};
use rstest::rstest;
use serde_json::{Value, json};

/// The sizes of published models with the number of parameters that their cards and safetensors indices state.
#[rstest]
#[case::llama_2_7b(json!({"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}), 6_738_415_616)]
#[case::tiny_llama(json!({"vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5}), 1_100_048_384)]
#[case::llama_3_8b(json!({"vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500_000.0}), 8_030_261_248)]
fn counts_of_published_models(#[case] keys: Value, #[case] parameters: u64) {
    let config = read(&keys, Llama).unwrap();
    assert_eq!(config.parameter_count(), parameters);
    assert_eq!(config.problems(), vec![]);
}

fn tiny(architecture: Architecture) -> ModelConfig {
    let keys = json!({"vocab_size": 10, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "max_position_embeddings": 16});
    read(&keys, architecture).unwrap()
}

#[test]
fn the_parameters_of_a_llama_by_hand() {
    let list: Vec<(String, Vec<usize>, bool)> =
        tiny(Llama).parameters().into_iter().map(|p| (p.name, p.shape, p.decay)).collect();
    let mut want = vec![
        ("lm_head.weight".to_owned(), vec![10, 8], true),
        ("model.embed_tokens.weight".to_owned(), vec![10, 8], false),
    ];
    for i in 0..2 {
        for (part, shape, decay) in [
            ("input_layernorm", vec![8], false),
            ("mlp.down_proj", vec![8, 12], true),
            ("mlp.gate_proj", vec![12, 8], true),
            ("mlp.up_proj", vec![12, 8], true),
            ("post_attention_layernorm", vec![8], false),
            ("self_attn.k_proj", vec![12, 8], true),
            ("self_attn.o_proj", vec![8, 24], true),
            ("self_attn.q_proj", vec![24, 8], true),
            ("self_attn.v_proj", vec![12, 8], true),
        ] {
            want.push((format!("model.layers.{i}.{part}.weight"), shape, decay));
        }
    }
    want.push(("model.norm.weight".to_owned(), vec![8], false));
    assert_eq!(list, want);
}

#[rstest]
fn parameters_are_sorted_unique_and_begin_right(#[values(Llama, Nemotron)] architecture: Architecture) {
    let config = ModelConfig { attention_bias: true, mlp_bias: true, tie_word_embeddings: true, ..tiny(architecture) };
    let list = config.parameters();
    assert!(list.windows(2).all(|w| w[0].name < w[1].name));
    assert!(!list.iter().any(|p| p.name == "lm_head.weight"), "a tied output is the embedding");
    for p in &list {
        let matrix = p.shape.len() == 2;
        assert_eq!(p.decay, matrix && !p.name.contains("embed"), "{}", p.name);
        let norm = p.name.contains("norm");
        match p.init {
            ParamInit::Ones => assert!(norm && architecture == Llama, "{}", p.name),
            ParamInit::Zeros => assert!(p.name.ends_with("bias") || (norm && architecture == Nemotron), "{}", p.name),
            // Two layers: projections into the residual stream begin at half the deviation (1 / sqrt(2 x 2)).
            ParamInit::Normal { std } => {
                let back = p.name.contains("o_proj") || p.name.contains("down_proj");
                assert_eq!(std, config.initializer_range / if back { 2.0 } else { 1.0 }, "{}", p.name);
            }
        }
    }
    assert_eq!(list.iter().any(|p| p.name.contains("gate_proj")), architecture == Llama);
    assert_eq!(list.iter().any(|p| p.name == "model.norm.bias"), architecture == Nemotron);
}

#[rstest]
fn config_json_reads_back(#[values(Llama, Nemotron)] architecture: Architecture) {
    let config = ModelConfig { tie_word_embeddings: true, norm_eps: 1.5e-6, rope_theta: 5e5, ..tiny(architecture) };
    assert_eq!(read(&Value::Object(write(&config)), architecture), Ok(config));
}

#[test]
fn every_preset_can_be_built() {
    for (name, architecture) in preset::NAMES {
        let config = preset::find(name, architecture).unwrap();
        assert_eq!(config.problems(), vec![], "{name}");
        assert_eq!(config.model_type, architecture);
    }
    // Two tables; per layer four square projections, three of the feed-forward layer, two norms; one norm at the end.
    let layer = 4 * 256 * 256 + 3 * 704 * 256 + 2 * 256;
    assert_eq!(preset::find("llama-tiny", Llama).unwrap().parameter_count(), 2 * 4096 * 256 + 6 * layer + 256);
    assert!(preset::find("lama", Llama).unwrap_err().to_string().contains("llama-tiny-bytes"));
    assert!(preset::find("llama-tiny", Nemotron).unwrap_err().to_string().contains("architecture: llama"));
}

#[rstest]
#[case("rope_scaling", json!({"rope_type": "llama3"}), "rope_scaling: {\"rope_type\":\"llama3\"}: is not supported: it changes the rotary frequencies")]
#[case("attention_dropout", json!(0.1), "must be 0: dropout is not supported")]
#[case("pretraining_tp", json!(2), "must be 1")]
#[case("sliding_window", json!(4096), "it changes which positions are attended")]
#[case("quantization_config", json!({}), "training needs full-precision parameters")]
#[case("hidden_act", json!("gelu"), "must be silu for llama")]
#[case("model_type", json!("nemotron"), "is not the architecture asked for")]
#[case("num_expert", json!(8), "is not a key this version knows for llama, and it may change the maths")]
#[case("vocab_size", json!(-1), "vocab_size: -1: must be a whole number above zero")]
#[case("vocab_size", json!(10.5), "must be a whole number above zero")]
#[case("hidden_size", Value::Null, "hidden_size: is missing and has no default")]
#[case("rms_norm_eps", json!("small"), "must be a finite number")]
#[case("tie_word_embeddings", json!("yes"), "must be true or false")]
#[case("rope_parameters", json!({"rope_type": "yarn"}), "rope_parameters.rope_type: \"yarn\": must be \"default\"")]
#[case("rope_parameters", json!({"factor": 8.0}), "rope_parameters.factor: 8.0: is not supported")]
fn keys_that_would_change_the_maths_are_refused(#[case] key: &str, #[case] value: Value, #[case] want: &str) {
    let mut keys = Value::Object(write(&tiny(Llama)));
    keys[key] = value;
    let told: Vec<String> = read(&keys, Llama).unwrap_err().iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|t| t.contains(want)), "{want:?} is not in {told:#?}");
}

#[test]
fn keys_of_other_programs_are_left_aside_and_the_nested_form_is_read() {
    let mut keys = Value::Object(write(&tiny(Nemotron)));
    for (key, value) in [
        ("torch_dtype", json!("bfloat16")),
        ("transformers_version", json!("4.57.0")),
        ("eos_token_id", json!([1, 2])),
        ("rope_scaling", Value::Null),
        ("rope_parameters", json!({"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 1.0})),
    ] {
        keys[key] = value;
    }
    let config = read(&keys, Nemotron).unwrap();
    assert_eq!((config.rope_theta, config.partial_rotary_factor), (5000.0, 1.0));
}

#[test]
fn every_problem_of_a_config_is_told_at_once() {
    let told = read(&json!({"vocab_size": 0, "hidden_size": "wide", "rope_scaling": {}}), Llama).unwrap_err();
    assert!(told.len() >= 6, "{told:#?}");
    assert!(read(&json!([1]), Llama).is_err());
}

#[rstest]
#[case(|m: &mut ModelConfig| m.num_key_value_heads = 3, "model.config.num_key_value_heads: 3: must divide num_attention_heads = 4. Set it to 2")]
#[case(|m: &mut ModelConfig| m.head_dim = 5, "must have an even rotating part")]
#[case(|m: &mut ModelConfig| m.hidden_size = 0, "model.config.hidden_size: 0: must be 1 to 16777216")]
#[case(|m: &mut ModelConfig| m.vocab_size = usize::MAX, "model.config.vocab_size")]
#[case(|m: &mut ModelConfig| m.norm_eps = f64::NAN, "model.config.rms_norm_eps: NaN: must be above 0 and below 1")]
#[case(|m: &mut ModelConfig| m.rope_theta = f64::INFINITY, "model.config.rope_theta: inf")]
#[case(|m: &mut ModelConfig| m.partial_rotary_factor = 0.5, "must be 1 for llama")]
#[case(|m: &mut ModelConfig| m.initializer_range = 0.0, "model.config.initializer_range")]
#[case(|m: &mut ModelConfig| { m.hidden_size = 1 << 22; m.intermediate_size = 1 << 24; }, "must be at most 8796093022208 parameters")]
fn sizes_that_cannot_be_built_are_told(#[case] change: fn(&mut ModelConfig), #[case] want: &str) {
    let mut config = tiny(Llama);
    change(&mut config);
    let told: Vec<String> = config.problems().iter().map(Problem::to_string).collect();
    assert!(told.iter().any(|t| t.contains(want)), "{want:?} is not in {told:#?}");
}

#[test]
fn bytes_of_state() {
    let config = tiny(Llama);
    let n = config.parameter_count();
    let m = memory::count(&config, Precision::Fp32, SiteShape { workers: 3, cpu_threads: 1 });
    // Masters, two moments and gradients at four bytes for each worker; θ and u at four bytes once.
    assert_eq!((m.parameters, m.masters, m.moments, m.gradients), (n, 4 * n, 8 * n, 4 * n));
    assert_eq!(m.site, 3 * 16 * n + 8 * n);
    let double = memory::count(&config, Precision::Fp64, SiteShape { workers: 1, cpu_threads: 1 });
    assert_eq!(double.site, 32 * n + 8 * n, "the outer state stays at 32 bits");
}
