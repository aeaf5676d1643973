#!/usr/bin/env python3
"""Plain training in one process, the usual way: what a run with one site must learn as well as, from the same bytes.

    python learning.py train DATA SEED TOKENS FED [--threads N]
    python learning.py judge DATA CHECKPOINT [--threads N]

DATA is a folder made by `coalition-trainer data prepare` (bytes). FED is what `coalition-e2e fed` prints: the windows of the
train split in the order in which they are fed, so that both read the same bytes and differ in all else: this is plain
PyTorch, with sizes, optimizer and schedule as in crds/examples/quickstart.yaml, and transformers' Llama with its own
initialisation from SEED. CHECKPOINT is a folder that transformers opens.

Both verbs print one JSON line with "bits_per_byte" over every window of the held-out split.
"""
import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

LENGTH, BATCH, JUDGED = 256, 8, 64  # tokens of a window, windows of a step, windows judged at a time
LR, WARMUP, DECAY_SHARE = 3e-3, 131_072, 0.3


def read(folder, side):
    index = json.loads((folder / "dataset.json").read_text())
    assert index["tokenizer"]["kind"] == "bytes" and index["tokenBytes"] == 2, "this peer reads bytes"
    return np.concatenate([np.fromfile(folder / s["file"], dtype="<u2") for s in index[side]["shards"]])


def rate(tokens, budget):
    rising = min(tokens / WARMUP, 1.0)
    falling = min((budget - tokens) / (DECAY_SHARE * budget), 1.0)
    return LR * min(rising, falling)


def windows(tokens, starts):
    rows = np.stack([tokens[s : s + LENGTH + 1] for s in starts]).astype(np.int64)
    return torch.from_numpy(rows)


def bits_per_byte(model, held_out):
    model.eval()
    nats, count = 0.0, 0
    starts = [k * LENGTH for k in range((len(held_out) - 1) // LENGTH)]
    with torch.no_grad():
        for at in range(0, len(starts), JUDGED):
            rows = windows(held_out, starts[at : at + JUDGED])
            logits, targets = model(rows[:, :-1]).logits.flatten(0, 1), rows[:, 1:].flatten()
            nats += torch.nn.functional.cross_entropy(logits.double(), targets, reduction="sum").item()
            count += int((targets < 256).sum())
    return {"bits_per_byte": nats / math.log(2) / count, "bytes": count}


def train(a):
    torch.manual_seed(a.seed)
    tokens = read(a.data, "train")
    order = json.loads(a.fed.read_text())["windows"]
    steps = a.tokens // (BATCH * LENGTH)
    if steps * BATCH != len(order):
        raise SystemExit(f"{a.tokens} tokens are {steps * BATCH} windows, {a.fed} names {len(order)}")
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=258, hidden_size=128, intermediate_size=344, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=1024, rms_norm_eps=1e-5, rope_theta=10_000.0,
        tie_word_embeddings=True, initializer_range=0.02, use_cache=False,
    ))
    plain = [q for n, q in model.named_parameters() if q.dim() == 1 or "embed_tokens" in n]
    decayed = [q for n, q in model.named_parameters() if not (q.dim() == 1 or "embed_tokens" in n)]
    groups = [dict(params=decayed, weight_decay=0.1), dict(params=plain, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.95), eps=1e-8, fused=True)
    started = time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step * BATCH * LENGTH, a.tokens)
        rows = windows(tokens, [w * LENGTH for w in order[step * BATCH : (step + 1) * BATCH]])
        logits = model(rows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    seconds = time.perf_counter() - started
    return {**bits_per_byte(model, read(a.data, "heldOut")), "tokens": a.tokens, "seconds": seconds}


def judge(a):
    return bits_per_byte(LlamaForCausalLM.from_pretrained(a.checkpoint, dtype=torch.float32), read(a.data, "heldOut"))


def main():
    p = argparse.ArgumentParser()
    verbs = p.add_subparsers(required=True)
    verb = verbs.add_parser("train")
    verb.add_argument("data", type=Path)
    verb.add_argument("seed", type=int)
    verb.add_argument("tokens", type=int)
    verb.add_argument("fed", type=Path)
    verb.set_defaults(run=train)
    other = verbs.add_parser("judge")
    other.add_argument("data", type=Path)
    other.add_argument("checkpoint", type=Path)
    other.set_defaults(run=judge)
    for v in (verb, other):
        v.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    print(json.dumps(a.run(a)))


if __name__ == "__main__":
    main()
