//! A run's history of one record, as a hub writes it.
use anyhow::Result;
use coalition_crds::RunHistory;
use coalition_protocol::record::{Assignment, Body, Genesis, Record, VERSION};
use coalition_protocol::sign::{HubKey, SignedRecord};
use coalition_protocol::{Digest, Epoch, Incarnation, Real, Seq, canonical};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::samples::RUN;

fn genesis() -> SignedRecord {
    let key = HubKey::from_seed(&[1; 32]);
    let genesis = Genesis {
        hub_key: key.public().0,
        hub_generation: 1,
        spec: Digest::ZERO,
        data: Digest::ZERO,
        samples_per_pass: 1000,
        sequence_length: 1,
        batch_tokens: 1,
        inner_steps: 2,
        budget: 1000,
        seed: 1,
        elements: 4096,
        fragments: 1,
        outer_lr: Real::new(0.7).unwrap(),
        outer_momentum: Real::new(0.9).unwrap(),
        members: vec![Assignment { site: "north".parse().unwrap(), incarnation: Incarnation(1) }],
        origin: None,
    };
    let body = Body::Genesis(genesis);
    let run = RUN.parse().unwrap();
    key.sign(Record { version: VERSION, run, epoch: Epoch(1), seq: Seq(0), parent: Digest::ZERO, body }).unwrap()
}

/// The newest record, as a request names it.
pub fn head() -> Value {
    json!({"epoch": 1, "seq": 0, "digest": genesis().record.digest().unwrap()})
}

/// Writes the object.
pub async fn write(client: &Client) -> Result<()> {
    let signed = genesis();
    let text = String::from_utf8(canonical::bytes(&signed.record)?)?;
    let digest = signed.record.digest()?.to_string();
    let record = json!({
        "seq": 0, "epoch": 1, "kind": "genesis", "parent": Digest::ZERO.to_string(), "digest": digest,
        "record": text, "signature": signed.signature,
    });
    let spec = json!({
        "runID": RUN, "head": {"epoch": 1, "seq": 0, "digest": digest}, "mirroredSeq": 0, "records": [record],
    });
    let object = RunHistory::new(RUN, serde_json::from_value(spec)?);
    Api::<RunHistory>::namespaced(client.clone(), "research").create(&PostParams::default(), &object).await?;
    Ok(())
}
