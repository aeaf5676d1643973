#!/usr/bin/env python3
"""Plain training in one process, the usual way: what a run with one site must learn as well as, from as many bytes.

    python learning.py DATA SEED TOKENS [--threads N]

DATA is a folder made by `coalition-trainer data prepare` (bytes). Same sizes, optimizer and schedule as
crds/examples/quickstart.yaml; the model is transformers' Llama with its own initialisation. Prints one JSON line
{"bits_per_byte": X, "tokens": N, "seconds": S}, measured on the windows our trainer measures.
"""
import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

LENGTH, BATCH, WINDOWS = 256, 8, 64
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
    every = (len(held_out) - 1) // LENGTH
    count = min(WINDOWS, every)
    rows = windows(held_out, [k * every // count * LENGTH for k in range(count)])
    with torch.no_grad():
        logits = model(rows[:, :-1]).logits
        nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1).double(), rows[:, 1:].flatten(), reduction="sum")
    return nats.item() / math.log(2) / int((rows[:, 1:] < 256).sum())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("data", type=Path)
    p.add_argument("seed", type=int)
    p.add_argument("tokens", type=int)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    train, held_out = read(a.data, "train"), read(a.data, "heldOut")
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=258, hidden_size=128, intermediate_size=344, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=1024, rms_norm_eps=1e-5, rope_theta=10_000.0,
        tie_word_embeddings=True, initializer_range=0.02, use_cache=False,
    ))
    plain = [q for n, q in model.named_parameters() if q.dim() == 1 or "embed_tokens" in n]
    decayed = [q for n, q in model.named_parameters() if not (q.dim() == 1 or "embed_tokens" in n)]
    groups = [dict(params=decayed, weight_decay=0.1), dict(params=plain, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.95), eps=1e-8, fused=True)
    order = np.random.default_rng(a.seed).permutation((len(train) - 1) // LENGTH)
    steps = a.tokens // (BATCH * LENGTH)
    if steps * BATCH > len(order):
        raise SystemExit(f"{a.tokens} tokens are more than one pass over {len(train)}")
    started = time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step * BATCH * LENGTH, a.tokens)
        rows = windows(train, order[step * BATCH : (step + 1) * BATCH] * LENGTH)
        logits = model(rows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    seconds = time.perf_counter() - started
    model.eval()
    print(json.dumps({"bits_per_byte": bits_per_byte(model, held_out), "tokens": a.tokens, "seconds": seconds}))


if __name__ == "__main__":
    main()
