//! Rows for `RunHistory`: chains, and what may follow them.
use serde_json::{Value, json};

/// Name, older object, newer object, parts of messages.
pub type Row = (&'static str, Option<Value>, Value, Vec<&'static str>);

fn digest(seq: i64) -> String {
    format!("{seq:064x}")
}

fn record(seq: i64, epoch: i64) -> Value {
    json!({
        "seq": seq, "epoch": epoch, "kind": if seq == 0 { "genesis" } else { "plan" },
        "parent": if seq == 0 { "0".repeat(64) } else { digest(seq) }, "digest": digest(seq + 1),
        "record": format!("{{\"seq\":{seq}}}"), "signature": "ab".repeat(64),
    })
}

fn history(records: Vec<Value>, mirrored: i64) -> Value {
    let last = records.last().unwrap().clone();
    json!({
        "apiVersion": "coalition.training/v1alpha1", "kind": "RunHistory", "metadata": {"name": "case"},
        "spec": {
            "runID": "quickstart-7f3a", "mirroredSeq": mirrored,
            "head": {"epoch": last["epoch"], "seq": last["seq"], "digest": last["digest"]},
            "records": records,
        },
    })
}

/// Records `from` to `to`, mirrored up to `mirrored`.
pub fn chain(from: i64, to: i64, mirrored: i64) -> Value {
    history((from..=to).map(|s| record(s, 1)).collect(), mirrored)
}

fn edited(mut object: Value, pointer: &str, value: Value) -> Value {
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

/// The newest records of a longer history, with what the older ones came to.
fn folded(characters: usize) -> Value {
    let mut object = chain(40, 45, 43);
    object["spec"]["fold"] = json!("x".repeat(characters));
    object
}

/// All rows.
pub fn cases() -> Vec<Row> {
    let old = || Some(chain(0, 5, 3));
    let next_epoch = |epoch: i64| {
        let mut records: Vec<Value> = (0..=5).map(|s| record(s, 1)).collect();
        records.push(record(6, epoch));
        records
    };
    let mut gap = chain(0, 5, 3);
    gap.pointer_mut("/spec/records").unwrap().as_array_mut().unwrap().remove(2);
    let mut swapped = chain(0, 5, 3);
    swapped.pointer_mut("/spec/records").unwrap().as_array_mut().unwrap().swap(1, 2);
    let big = json!("x".repeat(40_000));
    let mut heavy = chain(0, 5, 3);
    for i in 0..4 {
        heavy = edited(heavy, &format!("/spec/records/{i}/record"), big.clone());
    }
    let mut high = history(next_epoch(2), 3);
    high = edited(high, "/spec/head/epoch", json!(2));
    let two = "exactly one record may be appended";
    vec![
        ("genesis alone", None, chain(0, 0, 0), vec![]),
        ("a chain that a rebuilt hub writes", None, chain(0, 5, 3), vec![]),
        ("no records", None, edited(chain(0, 0, 0), "/spec/records", json!([])), vec!["must have at least 1"]),
        (
            "a head that is another",
            None,
            edited(chain(0, 5, 3), "/spec/head/seq", json!(4)),
            vec!["head must name the last record"],
        ),
        ("a record left out", None, gap, vec!["records must be ordered with seq rising by one"]),
        ("two records changed places", None, swapped, vec!["records must be ordered with seq rising by one"]),
        (
            "a parent that is another",
            None,
            edited(chain(0, 5, 3), "/spec/records/3/parent", json!(digest(9))),
            vec!["must name the digest of the one before as its parent"],
        ),
        (
            "an epoch that falls inside",
            None,
            edited(high.clone(), "/spec/records/3/epoch", json!(3)),
            vec!["in the same or a higher epoch"],
        ),
        ("mirrored what does not exist", None, chain(0, 5, 6), vec!["mirroredSeq must be at most head.seq"]),
        (
            "a kind of record nobody knows",
            None,
            edited(chain(0, 0, 0), "/spec/records/0/kind", json!("coup")),
            vec!["is not a value that this version knows"],
        ),
        ("more than fits", None, heavy, vec!["records and fold must be at most 128 KiB together. Raise mirroredSeq"]),
        ("a fold beside the newest records", None, folded(2_000), vec![]),
        (
            "a fold that leaves no room for the records",
            None,
            edited(folded(98_000), "/spec/records/1/record", big.clone()),
            vec!["records and fold must be at most 128 KiB together. Raise mirroredSeq"],
        ),
        ("nothing new", old(), chain(0, 5, 3), vec![]),
        ("one record more", old(), chain(0, 6, 3), vec![]),
        ("one more in a higher epoch", old(), high, vec![]),
        ("two records more", old(), chain(0, 7, 3), vec![two]),
        ("one record less", old(), chain(0, 4, 3), vec![two]),
        (
            "another record in the place of the head",
            old(),
            edited(
                edited(chain(0, 5, 3), "/spec/records/5/digest", json!(digest(99))),
                "/spec/head/digest",
                json!(digest(99)),
            ),
            vec![two, "records once written never change"],
        ),
        (
            "an older record rewritten",
            old(),
            edited(chain(0, 6, 3), "/spec/records/2/record", json!("{}")),
            vec!["records once written never change"],
        ),
        (
            "an older signature exchanged",
            old(),
            edited(chain(0, 5, 3), "/spec/records/2/signature", json!("cd".repeat(64))),
            vec!["records once written never change"],
        ),
        ("the oldest leave, below what is mirrored", old(), chain(3, 6, 3), vec![]),
        (
            "too many leave",
            old(),
            chain(4, 6, 4),
            vec!["only the oldest records may leave, and only those below mirroredSeq"],
        ),
        ("an old one comes back", Some(chain(3, 5, 3)), chain(2, 5, 3), vec!["only the oldest records may leave"]),
        ("mirrored more", old(), chain(0, 5, 5), vec![]),
        ("mirrored less", old(), chain(0, 5, 2), vec!["mirroredSeq never falls"]),
        (
            "a lower epoch",
            Some(edited(history(next_epoch(2), 3), "/spec/head/epoch", json!(2))),
            {
                let mut records = next_epoch(2);
                records.push(record(7, 1));
                history(records, 3)
            },
            vec!["no lower epoch"],
        ),
        (
            "another run",
            old(),
            edited(chain(0, 5, 3), "/spec/runID", json!("other")),
            vec!["spec.runID: \"other\": cannot change after creation"],
        ),
    ]
}
