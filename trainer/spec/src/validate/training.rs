//! What must hold in the data and the numbers of training.
use super::Checks;
use crate::data::Tokenizer;
use crate::tokens::{self, MAX};
use crate::training::Schedule;
use crate::{Problem, RunSpec};

/// D11: a budget under four rounds is refused, because the first and the last are not ordinary ones.
const ROUNDS: u64 = 4;

/// A label of the Domain Name System, the form of every name in Kubernetes that becomes part of another.
fn is_label(s: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&s.len()) && s.bytes().all(|b| word(b) || b == b'-') && !s.starts_with('-') && !s.ends_with('-')
}

fn name(c: &mut Checks, field: &str, value: &str) {
    c.that(is_label(value), || {
        Problem::new(
            field,
            format!("{value:?}"),
            "must be 1 to 63 lowercase letters, digits and '-', beginning and ending with a letter or digit",
            "Rename the data set in the site's settings and here.",
        )
    });
}

pub(super) fn data(c: &mut Checks, run: &RunSpec) {
    let (d, m) = (&run.data, &run.model.config);
    name(c, "data.mixture[0].name", &d.dataset);
    let longest = m.max_position_embeddings;
    c.that(d.sequence_length >= 1 && d.sequence_length <= longest, || {
        Problem::new(
            "data.sequenceLength",
            d.sequence_length,
            format!("must be 1 to max_position_embeddings = {longest} of the model"),
            format!("Set it to at most {longest}, or choose a model with more positions."),
        )
    });
    if let Some(vocab) = d.tokenizer.known_vocabulary() {
        c.that(vocab <= m.vocab_size, || {
            Problem::new(
                "data.tokenizer",
                format!("{vocab} tokens"),
                format!("must be at most vocab_size = {} of the model", m.vocab_size),
                format!("Set vocab_size to at least {vocab}, or choose a smaller tokenizer."),
            )
        });
    }
    if let Tokenizer::File { dataset, file } = &d.tokenizer {
        name(c, "data.tokenizer.dataset", dataset);
        c.that(*dataset == d.dataset, || {
            Problem::new(
                "data.tokenizer.dataset",
                format!("{dataset:?}"),
                format!(
                    "must be the data set of data.mixture, {}: this version reads a tokenizer from the data set it trains on",
                    d.dataset
                ),
                format!("Write `dataset: {}`; `data prepare --tokenizer FILE` makes a data set with another tokenizer.", d.dataset),
            )
        });
        let inside = !file.is_empty()
            && file.len() <= 256
            && !file.starts_with('/')
            && file.split('/').all(|part| !matches!(part, "" | "." | ".."));
        c.that(inside, || {
            Problem::new(
                "data.tokenizer.file",
                format!("{file:?}"),
                "must be a path of at most 256 bytes inside the data set, without '.' and '..'",
                "Use for example tokenizer.json.",
            )
        });
    }
}

pub(super) fn training(c: &mut Checks, run: &RunSpec) {
    let t = &run.training;
    c.whole("training.seed", t.seed, (0, MAX), "");
    c.whole("training.tokens", t.tokens, (1, MAX), "tokens");
    c.whole("training.batchTokens", t.batch_tokens, (1, MAX), "tokens");
    c.whole("training.outer.tokensPerRound", t.outer.tokens_per_round, (1, MAX), "tokens");
    batch(c, run);
    rounds(c, run);
    optimizer(c, run);
    schedule(c, run);
}

/// Tokens that a batch must be a multiple of, so that it splits over the workers of every site template; none if there is
/// no such number, for reasons that are told elsewhere.
fn batch_unit(run: &RunSpec) -> Option<u64> {
    let mut unit = 1u64;
    for t in &run.site_templates {
        let one = (run.data.sequence_length as u64).saturating_mul(u64::from(t.shape.workers));
        let common = gcd(unit, one);
        unit = (unit / common.max(1)).saturating_mul(one);
    }
    (unit > 0 && !run.site_templates.is_empty()).then_some(unit)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn splits(run: &RunSpec) -> bool {
    batch_unit(run).is_none_or(|unit| run.training.batch_tokens.is_multiple_of(unit))
}

/// One problem for all templates: a way out for one alone could be refused because of another.
fn batch(c: &mut Checks, run: &RunSpec) {
    let batch = run.training.batch_tokens;
    let Some(unit) = batch_unit(run).filter(|_| batch > 0) else { return };
    c.that(splits(run), || {
        let below = batch / unit * unit;
        let above = (batch / unit + 1).saturating_mul(unit);
        let way_out = if below == 0 { format!("Use {above}.") } else { format!("Use {below} or {above}.") };
        let length = run.data.sequence_length;
        let products: Vec<String> =
            run.site_templates.iter().map(|t| format!("{length} × {}", t.shape.workers)).collect();
        let bound = if let [one] = products.as_slice() {
            format!("must split evenly over siteTemplates[0]: a multiple of sequenceLength × workers = {one} = {unit}")
        } else {
            format!(
                "must split evenly over all siteTemplates: a multiple of sequenceLength × workers = {}, that is of {unit}",
                products.join(" and ")
            )
        };
        Problem::new("training.batchTokens", tokens::format(batch), bound, way_out)
    });
}

fn rounds(c: &mut Checks, run: &RunSpec) {
    let (t, o) = (&run.training, &run.training.outer);
    if t.batch_tokens > 0 && o.tokens_per_round > 0 {
        c.that(o.tokens_per_round.is_multiple_of(t.batch_tokens), || {
            let steps = (o.tokens_per_round / t.batch_tokens).max(1);
            // A multiple of a batch that is itself refused would be refused next.
            let way_out = if splits(run) {
                format!("Use {}, {steps} × batchTokens.", steps.saturating_mul(t.batch_tokens))
            } else {
                format!("Use {steps} × batchTokens, once that is mended.")
            };
            Problem::new(
                "training.outer.tokensPerRound",
                tokens::format(o.tokens_per_round),
                format!("must be a multiple of batchTokens = {}", tokens::format(t.batch_tokens)),
                way_out,
            )
        });
    }
    let round = o.tokens_per_round.saturating_mul(u64::from(run.sites.max));
    let least = round.saturating_mul(ROUNDS);
    c.that(t.tokens >= least, || {
        Problem::new(
            "training.tokens",
            tokens::format(t.tokens),
            format!(
                "must be at least four rounds of sites.max × tokensPerRound = {} × {}, that is {}",
                run.sites.max,
                tokens::format(o.tokens_per_round),
                tokens::format(least)
            ),
            "Raise the budget, or lower tokensPerRound or sites.max.",
        )
    });
    let max = run.sites.max.max(1);
    c.that((1..=max).contains(&o.quorum), || {
        Problem::new(
            "training.outer.quorum",
            o.quorum,
            format!("must be 1 to sites.max = {max}, as a commit cannot need more contributions than there are sites"),
            if o.quorum == 0 { "Set it to 1 or more." } else { "Lower quorum or raise sites.max." },
        )
    });
    if let Some(s) = o.grace_seconds {
        c.whole("training.outer.grace", s, (1, 86_400), "seconds");
    }
    c.whole("training.nonFinite.skipSteps", u64::from(t.non_finite.skip_steps), (0, 1_000_000), "steps");
    let n = o.optimizer.nesterov();
    c.real("training.outer.optimizer.lr", n.lr, n.lr > 0.0 && n.lr <= 10.0, "above 0 and at most 10", "0.7");
    let m = n.momentum;
    c.real("training.outer.optimizer.momentum", m, (0.0..1.0).contains(&m), "0 or more and below 1", "0.9");
}

fn optimizer(c: &mut Checks, run: &RunSpec) {
    let a = run.training.optimizer.adamw();
    let at = |key: &str| format!("training.optimizer.{key}");
    c.real(&at("lr"), a.lr, a.lr > 0.0 && a.lr <= 1.0, "above 0 and at most 1", "1e-4 to 1e-3");
    for (i, b) in a.betas.into_iter().enumerate() {
        let usual = if i == 0 { "0.9" } else { "0.95" };
        c.real(&at(&format!("betas[{i}]")), b, (0.0..1.0).contains(&b), "0 or more and below 1", usual);
    }
    c.real(&at("eps"), a.eps, a.eps > 0.0 && a.eps < 1.0, "above 0 and below 1", "1e-8");
    let decay = a.weight_decay;
    c.real(&at("weightDecay"), decay, (0.0..=1.0).contains(&decay), "0 to 1", "0.1");
    c.real(&at("clip"), a.clip, a.clip > 0.0, "above 0", "1.0");
}

fn schedule(c: &mut Checks, run: &RunSpec) {
    let t = &run.training;
    let warmup = t.schedule.warmup_tokens();
    c.that(warmup <= t.tokens, || {
        Problem::new(
            "training.schedule.warmupTokens",
            tokens::format(warmup),
            format!("must be at most the budget, training.tokens = {}", tokens::format(t.tokens)),
            "One to five per cent of the budget is usual.",
        )
    });
    if let Schedule::Wsd { decay_share, .. } = t.schedule {
        let field = "training.schedule.decayShare";
        let in_range = (0.0..=1.0).contains(&decay_share);
        c.real(field, decay_share, in_range, "0 to 1", "0.2");
        let room = t.tokens as f64 * (1.0 - decay_share);
        c.that(!in_range || warmup > t.tokens || warmup as f64 <= room, || {
            Problem::new(
                field,
                decay_share,
                format!("must leave room for warmupTokens = {} before the decay", tokens::format(warmup)),
                "Shorten the warm-up or the decay so that both fit into the budget.",
            )
        });
    }
}
