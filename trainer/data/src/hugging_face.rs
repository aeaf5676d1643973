//! A tokenizer as `transformers` opens it: `AutoTokenizer.from_pretrained(FOLDER)`. Knows nothing of models and checkpoints.
//!
//! The ids are those of this program. One thing differs in use: there, the text of BOS and EOS written in a document becomes
//! those tokens, unless `split_special_tokens=True` is passed; here it always stays text. Any Unicode text keeps its bytes;
//! bytes that are no UTF-8 cannot be given to that library as text at all (a Python string does not hold them).
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::tokenizer::{BOS, EOS, FILE, Tokenizer, characters};

/// Name of the file that tells `transformers` how to use [`FILE`].
pub const CONFIG: &str = "tokenizer_config.json";

/// The files of `tokenizer`: name and contents, the same bytes every time.
pub fn files(tokenizer: &Tokenizer) -> Result<Vec<(&'static str, String)>, String> {
    let (json, bos, eos) = match tokenizer.to_json()? {
        Some(json) => (plain(&json)?, tokenizer.name(tokenizer.bos())?, tokenizer.name(tokenizer.eos())?),
        None => (byte_level(tokenizer).to_string(), BOS.to_owned(), EOS.to_owned()),
    };
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        // What `model.generate(**tokenizer(text))` passes on: these architectures know no token types.
        "model_input_names": ["input_ids", "attention_mask"],
        // Decoding must not take spaces away.
        "clean_up_tokenization_spaces": false,
    });
    Ok(vec![(FILE, json), (CONFIG, config.to_string())])
}

/// `json` without what adds tokens of its own at the ends of a text: here nobody does that, so the ids would differ.
fn plain(json: &str) -> Result<String, String> {
    let mut json: Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
    // A byte-level one only moves offsets; every other adds.
    if json["post_processor"]["type"] != "ByteLevel" {
        json["post_processor"] = Value::Null;
    }
    Ok(json.to_string())
}

/// The byte level in the format of the `tokenizers` library: a byte-level BPE that has no merges.
fn byte_level(t: &Tokenizer) -> Value {
    let mut vocabulary: BTreeMap<String, u32> =
        characters().into_iter().map(|(c, byte)| (c.to_string(), u32::from(byte))).collect();
    vocabulary.extend([(BOS.to_owned(), t.bos()), (EOS.to_owned(), t.eos())]);
    let special = |text: &str, id: u32| {
        json!({
            "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true,
        })
    };
    // Without the expression of GPT-2: where words end changes nothing if nothing is merged.
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [special(BOS, t.bos()), special(EOS, t.eos())],
        "normalizer": null,
        "pre_tokenizer": bytes,
        "post_processor": null,
        "decoder": bytes,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": [],
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opened(t: &Tokenizer) -> (tokenizers::Tokenizer, Value) {
        let [(FILE, json), (CONFIG, config)] = &files(t).unwrap()[..] else { panic!("two files") };
        (tokenizers::Tokenizer::from_bytes(json).unwrap(), serde_json::from_str(config).unwrap())
    }

    #[test]
    fn the_byte_level_has_our_ids_in_the_library() {
        let ours = Tokenizer::bytes();
        let (theirs, config) = opened(&ours);
        assert_eq!(theirs.get_vocab_size(true), 258);
        assert_eq!(theirs.token_to_id(config["bos_token"].as_str().unwrap()), Some(ours.bos()));
        assert_eq!(theirs.token_to_id(config["eos_token"].as_str().unwrap()), Some(ours.eos()));
        // Read back by our own rules, every token stands for the same bytes.
        let again = Tokenizer::from_inner(theirs.clone(), BOS, EOS).unwrap();
        for id in 0..258 {
            assert_eq!(again.run(id), ours.run(id), "token {id}");
        }
        proptest!(ProptestConfig::with_cases(64), |(text in any::<String>())| {
            let ids = theirs.encode(text.as_str(), false).unwrap().get_ids().to_vec();
            prop_assert_eq!(&ids, &ours.encode(text.as_bytes()).unwrap());
            prop_assert_eq!(theirs.decode(&ids, true).unwrap(), text);
        });
    }

    /// A file that puts BOS in front by itself, as those of Llama 3 do.
    #[test]
    fn nothing_is_added_at_the_ends() {
        let bytes = Tokenizer::bytes();
        let mut json = byte_level(&bytes);
        json["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {BOS: {"id": BOS, "ids": [bytes.bos()], "tokens": [BOS]}},
        });
        let adding = tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap();
        assert_eq!(adding.encode("a", true).unwrap().get_ids(), [bytes.bos(), 97]);
        let ours = Tokenizer::from_inner(adding, BOS, EOS).unwrap();
        let (theirs, _) = opened(&ours);
        assert_eq!(theirs.encode("a", true).unwrap().get_ids(), ours.encode(b"a").unwrap());
    }

    #[test]
    fn files_are_the_same_bytes_every_time() {
        assert_eq!(files(&Tokenizer::bytes()).unwrap(), files(&Tokenizer::bytes()).unwrap());
    }
}
