"""Writes the golden files of trainer/engine/tests/golden: what `transformers` computes for tiny models, in f64 and in f32.

    python e2e/bench/peers/golden.py trainer/engine/tests/golden
    python e2e/bench/peers/golden.py --seed 5 FOLDER && COALITION_GOLDEN=FOLDER cargo test -p coalition-engine --test golden

The second draws other sizes, parameters and texts and holds the engine against them, by hand: no program does so by itself.

`transformers` rounds norms, rotary tables, softmax and the loss to f32 whatever the type of the model ("upcast to float").
In an f64 model that is a rounding to f32 that hides mistakes, so its modules see a `torch` whose float32 is float64: the
code that runs is its own, only the type it upcasts to is wider.

A case is one safetensors file: parameters (`p.NAME`), tokens, targets (-100 = not counted), logits of the counted positions,
gradients of the mean loss (`g.NAME`), and the losses of ten AdamW steps with clipping at half the first gradient's norm and
with weight decay. The metadata holds the configuration, the optimizer's numbers, and the errors of transformers' own f32 run
against its f64 run.
"""
import argparse
import contextlib
import json
import random
from pathlib import Path
from unittest import mock

import torch
import transformers.loss.loss_utils as loss_utils
import transformers.modeling_rope_utils as rope
import transformers.models.llama.modeling_llama as llama
import transformers.models.nemotron.modeling_nemotron as nemotron
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, NemotronConfig, NemotronForCausalLM

ROWS, LENGTH, STEPS, IGNORE = 3, 10, 10, -100
LR, BETAS, EPS, DECAY = 1e-2, (0.9, 0.95), 1e-8, 0.1

SIZES = dict(
    vocab_size=24, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=4, max_position_embeddings=64, rope_theta=10000.0, initializer_range=0.2,
)
CASES = {
    "llama": (LlamaConfig, LlamaForCausalLM, dict(rms_norm_eps=1e-5, tie_word_embeddings=False)),
    "llama-tied": (LlamaConfig, LlamaForCausalLM,
                   dict(rms_norm_eps=1e-6, tie_word_embeddings=True, attention_bias=True, mlp_bias=True)),
    "nemotron": (NemotronConfig, NemotronForCausalLM,
                 dict(norm_eps=1e-5, tie_word_embeddings=False, partial_rotary_factor=0.5)),
    "nemotron-tied": (NemotronConfig, NemotronForCausalLM,
                      dict(norm_eps=1e-5, tie_word_embeddings=True, partial_rotary_factor=0.5,
                           attention_bias=True, mlp_bias=True)),
}


class WideTorch:
    """`torch`, with float64 in the place of float32."""

    def __getattr__(self, name):
        return torch.float64 if name in ("float32", "float") else getattr(torch, name)


@contextlib.contextmanager
def upcast_to_f64():
    with contextlib.ExitStack() as stack:
        for module in (llama, nemotron, rope, loss_utils):
            stack.enter_context(mock.patch.object(module, "torch", WideTorch()))
        stack.enter_context(mock.patch.object(torch.Tensor, "float", torch.Tensor.double))
        yield


def decays(name):
    """Weight decay on matrices, not on norms, biases and embeddings (an untied output is a projection)."""
    return name.endswith("proj.weight") or name == "lm_head.weight"


def sizes(seed):
    """The committed sizes for seed 0, others for others."""
    if seed == 0:
        return SIZES
    r = random.Random(seed)
    groups = r.choice([1, 2, 3])
    return SIZES | dict(
        vocab_size=r.randint(5, 60), hidden_size=4 * r.randint(2, 12), intermediate_size=r.randint(3, 70),
        num_hidden_layers=r.randint(1, 4), num_key_value_heads=groups, num_attention_heads=groups * r.choice([1, 2, 3]),
        head_dim=4 * r.randint(1, 5), rope_theta=r.choice([100.0, 10000.0, 500000.0]),
    )


def data(seed, vocabulary):
    """Random tokens; rows of different length, padded at the end."""
    g = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, vocabulary, (ROWS, LENGTH + 1), generator=g)
    real = torch.tensor([LENGTH + 1, 7, 4])
    seen = torch.arange(LENGTH + 1)[None, :] < real[:, None]
    tokens = torch.where(seen, tokens, 0)
    targets = torch.where(seen[:, 1:], tokens[:, 1:], IGNORE)
    return tokens[:, :-1].contiguous(), targets.contiguous(), seen[:, :-1].long()


def make(config_class, model_class, extra, dtype, seed, state=None):
    config = config_class(**sizes(seed), **extra, attn_implementation="sdpa")
    torch.manual_seed(7 + seed)
    model = model_class(config).to(dtype)
    if state is None:
        with torch.no_grad():
            for name, p in model.named_parameters():
                # Norms and biases away from their neutral values, so that a mistake in them shows.
                scale = 0.1 if p.dim() == 1 else 0.2
                base = 1.0 if p.dim() == 1 and config.model_type == "llama" and name.endswith("norm.weight") else 0.0
                p.copy_(base + scale * torch.randn(p.shape, dtype=torch.float32))
    else:
        model.load_state_dict(state, strict=False)
        model.tie_weights()
    return config, model.train()


def loss_of(model, batch):
    tokens, targets, seen = batch
    out = model(input_ids=tokens, attention_mask=seen, use_cache=False, shift_labels=targets, labels=targets)
    return out.loss, out.logits


def run(model, batch):
    parameters = dict(model.named_parameters())
    first = {n: p.detach().clone() for n, p in parameters.items()}
    groups = [
        dict(params=[p for n, p in parameters.items() if decays(n)], weight_decay=DECAY),
        dict(params=[p for n, p in parameters.items() if not decays(n)], weight_decay=0.0),
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    result, losses, clipped = {}, [], 0
    for step in range(STEPS):
        optimizer.zero_grad()
        loss, logits = loss_of(model, batch)
        loss.backward()
        if step == 0:
            # Only where the loss counts: what a padded position sees is nobody's business.
            result["logits"] = logits.detach()[batch[1] != IGNORE].clone()
            result["gradients"] = {n: p.grad.detach().clone() for n, p in parameters.items()}
            norm = torch.linalg.vector_norm(torch.cat([g.flatten().double() for g in result["gradients"].values()]))
            clip = 0.5 * norm.item()
        losses.append(loss.item())
        clipped += torch.nn.utils.clip_grad_norm_(parameters.values(), clip).item() > clip
        optimizer.step()
    assert clipped >= 1, "the first step is clipped by construction"
    return dict(result, first=first, losses=losses, clip=clip, clipped=clipped, last={n: p.detach() for n, p in parameters.items()})


def spread(ours, exact):
    """Root mean square of the difference."""
    difference = torch.cat([(a.double() - b).flatten() for a, b in zip(ours, exact)])
    return difference.square().mean().sqrt().item()


def settings(config):
    """The configuration as coalition_spec::ModelConfig writes it."""
    keys = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "head_dim", "max_position_embeddings", "rope_theta", "tie_word_embeddings",
            "initializer_range", "hidden_act", "attention_bias", "mlp_bias"]
    out = {k: getattr(config, k) for k in keys}
    out["model_type"] = config.model_type
    out["norm_eps"] = getattr(config, "rms_norm_eps", None) or config.norm_eps
    out["partial_rotary_factor"] = getattr(config, "partial_rotary_factor", 1.0)
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder, seed = arguments.folder, arguments.seed
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for n, (name, case) in enumerate(CASES.items()):
        batch = data(100 + n + 1000 * seed, sizes(seed)["vocab_size"])
        with upcast_to_f64():
            config, model = make(*case, torch.float64, seed)
            exact = run(model, batch)
        narrow = run(make(*case, torch.float32, seed, exact["first"])[1], batch)
        errors = dict(
            logits=spread([narrow["logits"]], [exact["logits"]]),
            gradients=spread(narrow["gradients"].values(), exact["gradients"].values()),
            losses=spread([torch.tensor(narrow["losses"], dtype=torch.float64)],
                          [torch.tensor(exact["losses"], dtype=torch.float64)]),
            parameters=spread(narrow["last"].values(), exact["last"].values()),
        )
        tensors = {f"p.{k}": v for k, v in exact["first"].items()}
        tensors |= {f"g.{k}": v for k, v in exact["gradients"].items()}
        tensors |= dict(tokens=batch[0].to(torch.int32), targets=batch[1].to(torch.int32), logits=exact["logits"],
                        losses=torch.tensor(exact["losses"], dtype=torch.float64),
                        norms=torch.tensor([v.norm().item() for v in exact["last"].values()], dtype=torch.float64))
        # Parameters are exact in f32: half the size.
        tensors |= {k: v.float() for k, v in tensors.items() if k.startswith("p.")}
        # One entry: the library writes several in any order, and a file should depend on nothing but the case.
        meta = dict(case=json.dumps(dict(
            config=settings(config), f32_errors=errors, last_names=list(exact["last"]), clipped=exact["clipped"],
            adam=dict(lr=LR, betas=BETAS, eps=EPS, weightDecay=DECAY, clip=exact["clip"]),
        )))
        path = folder / f"{name}.safetensors"
        save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata=meta)
        print(f"{path.name}: {path.stat().st_size} bytes, losses {exact['losses'][0]:.6f} to {exact['losses'][-1]:.6f}, "
              f"f32 errors {errors}")


if __name__ == "__main__":
    main()
