#!/usr/bin/env python3
"""The usual way to survive a killed process: torchrun restarts the group, each process loads the newest checkpoint of
torch.distributed.checkpoint (DCP) and goes on. Measures from the kill until every process has done a step again.

    python restart.py KILLS        prints one JSON line: {"restarts": [milliseconds | null, ...], "died_at": N | null}

A null and `died_at` say that the group did not come back within a minute. The same shape as ours: two processes on one
machine, a tiny model, a checkpoint every four steps, ten milliseconds of pause a step.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

BOUND = 60.0
CHECKPOINT_STEPS = 4
PAUSE = 0.010


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def work(folder):
    import torch
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp
    from torch.nn.parallel import DistributedDataParallel

    # torchrun starts its workers in sessions of their own: they leave with their parent, or nobody ends them.
    parent = os.getppid()

    def leave_with_parent():
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.Embedding(258, 32), torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 258)
    )
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(parallel.parameters(), lr=1e-3)
    step = 0
    saved = sorted(p for p in Path(folder).glob("step-*") if (p / ".metadata").is_file())
    if saved:
        # Optimizer state must exist before it can be loaded in place.
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.zeros_like(p)
        optimizer.step()
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        dcp.load(state, checkpoint_id=str(saved[-1]))
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = int(saved[-1].name.split("-")[1])
    log = open(Path(folder) / f"steps-{rank}.log", "a", buffering=1)
    while True:
        tokens = torch.randint(0, 258, (8, 64))
        loss = torch.nn.functional.cross_entropy(parallel(tokens).view(-1, 258), tokens.view(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        time.sleep(PAUSE)
        log.write(json.dumps({"pid": os.getpid(), "at": now(), "step": step}) + "\n")
        if step % CHECKPOINT_STEPS == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            dcp.save(state, checkpoint_id=str(Path(folder) / f"step-{step:08d}"))


def newest(folder, rank):
    try:
        lines = (Path(folder) / f"steps-{rank}.log").read_text().splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            return json.loads(line)
        except json.JSONDecodeError:
            continue
    return None


def wait_for_steps(folder, since, launcher):
    """When both ranks had done a step after `since` (boot-time seconds), or None."""
    while now() - since < BOUND and launcher.poll() is None:
        steps = [newest(folder, rank) for rank in (0, 1)]
        if all(s is not None and s["at"] > since for s in steps):
            return max(s["at"] for s in steps)
        time.sleep(0.002)
    return None


def measure(kills):
    with tempfile.TemporaryDirectory(prefix="peer-restart-") as folder:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc-per-node=2",
             "--max-restarts=1000", "--monitor-interval=0.1", __file__, "--work", folder],
            stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        try:
            if wait_for_steps(folder, now(), launcher) is None:
                sys.exit("the peer did not begin to train within a minute")
            restarts = []
            for n in range(kills):
                # Some steps and a checkpoint lie between two kills.
                calm = now()
                while now() - calm < 0.5:
                    time.sleep(0.01)
                victims = {newest(folder, rank)["pid"] for rank in (0, 1)}
                victim = newest(folder, n % 2)["pid"]
                killed = now()
                os.kill(victim, signal.SIGKILL)
                # Steps of the survivor's old process do not count: wait until both are new processes.
                at = None
                while now() - killed < BOUND and launcher.poll() is None:
                    steps = [newest(folder, rank) for rank in (0, 1)]
                    if all(s is not None and s["pid"] not in victims for s in steps):
                        at = max(s["at"] for s in steps)
                        break
                    time.sleep(0.002)
                restarts.append(None if at is None else (at - killed) * 1000)
                if at is None:
                    print(json.dumps({"restarts": restarts, "died_at": n + 1}))
                    return
            print(json.dumps({"restarts": restarts, "died_at": None}))
        finally:
            os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        work(sys.argv[2])
    else:
        measure(int(sys.argv[1]))
