"""Times training steps of the tiny Llama in plain PyTorch and prints one JSON line, like trainer/engine/examples/bench_step.rs.

    python e2e/bench/peers/train_step.py [--checkpoint] [--steps N] [--threads N] [--init FILE]

Eager mode, the library's own fused pieces (SDPA, rms_norm, fused AdamW); --checkpoint recomputes each block in the backward
pass (torch.utils.checkpoint). --init takes parameters from a safetensors file with Hugging Face names, so that both sides
start from the same bits and their losses can be compared.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torch.utils.checkpoint import checkpoint

LAYERS, WIDTH, HEADS, INNER, VOCABULARY, LENGTH, EPS, THETA = 6, 256, 4, 704, 4096, 256, 1e-5, 10_000.0
WARMUP = 2


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return F.rms_norm(x, (WIDTH,), self.weight, EPS)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, nn.Linear(WIDTH, WIDTH, bias=False))

    def forward(self, x, cos, sin):
        rows, length, _ = x.shape

        def heads(t):
            return t.view(rows, length, HEADS, WIDTH // HEADS).transpose(1, 2)

        def rotate(t):
            a, b = t.chunk(2, dim=-1)
            return t * cos + torch.cat((-b, a), dim=-1) * sin

        q, k, v = rotate(heads(self.q_proj(x))), rotate(heads(self.k_proj(x))), heads(self.v_proj(x))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).reshape(rows, length, WIDTH))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(WIDTH, INNER, bias=False)
        self.up_proj = nn.Linear(WIDTH, INNER, bias=False)
        self.down_proj = nn.Linear(INNER, WIDTH, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm, self.self_attn = Norm(), Attention()
        self.post_attention_layernorm, self.mlp = Norm(), Mlp()

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Model(nn.Module):
    def __init__(self, recompute):
        super().__init__()
        self.recompute = recompute
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.model.layers = nn.ModuleList(Block() for _ in range(LAYERS))
        self.model.norm = Norm()
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        half = WIDTH // HEADS // 2
        frequencies = THETA ** (-torch.arange(half, dtype=torch.float64) / half)
        angles = torch.outer(torch.arange(LENGTH, dtype=torch.float64), frequencies)
        angles = torch.cat((angles, angles), dim=-1)
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def forward(self, tokens, targets):
        x = self.model.embed_tokens(tokens)
        for block in self.model.layers:
            if self.recompute:
                x = checkpoint(block, x, self.cos, self.sin, use_reentrant=False)
            else:
                x = block(x, self.cos, self.sin)
        logits = self.lm_head(self.model.norm(x))
        return F.cross_entropy(logits.view(-1, VOCABULARY), targets.view(-1))


def batch(rows, step):
    n = torch.arange(rows * (LENGTH + 1), dtype=torch.int64) + step * rows * (LENGTH + 1)
    text = ((n * 2_654_435_761 & 0xFFFF_FFFF) >> 20).view(rows, LENGTH + 1)
    return text[:, :-1].contiguous(), text[:, 1:].contiguous()


def peak_rss_mb():
    with open("/proc/self/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) / 1024


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--checkpoint", action="store_true")
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rows", type=int, default=8)
    p.add_argument("--init")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    model = Model(a.checkpoint)
    if a.init:
        model.load_state_dict(load_file(a.init))
    plain = [q for n, q in model.named_parameters() if q.dim() == 1 or "embed_tokens" in n]
    decayed = [q for n, q in model.named_parameters() if not (q.dim() == 1 or "embed_tokens" in n)]
    groups = [dict(params=decayed, weight_decay=0.1), dict(params=plain, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), eps=1e-8, fused=True)
    seconds, losses = [], []
    cpu = 0.0
    for step in range(a.steps + WARMUP):
        if step == WARMUP:
            cpu = time.process_time()
        tokens, targets = batch(a.rows, step)
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = model(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step >= WARMUP:
            seconds.append(time.perf_counter() - started)
    cpu = (time.process_time() - cpu) / a.steps
    print(json.dumps(dict(
        tokens_per_second=a.rows * LENGTH / statistics.median(seconds), step_seconds=seconds,
        peak_rss_mb=peak_rss_mb(), losses=losses, cpu_seconds_per_step=cpu, torch=torch.__version__,
    )))


if __name__ == "__main__":
    main()
