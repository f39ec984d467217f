"""Two processes take the steps of one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = """
import json, sys
import numpy as np, torch
from accelerate import PartialState
from scbioverse.encoders import PrecomputedEncoder
from scbioverse.models import BioVerse
from scbioverse.train import AutoregressiveTask, CandidateSet, ContrastiveTask, LabelSampler, MixedTask, fit
from scbioverse.train.processes import add_up

place, llm, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
state = PartialState(cpu=True) if n > 1 else None
names = ["naive CD4 T cell", "memory CD4 T cell", "CD8 T cell", "B cell", "platelet"]
rng = np.random.default_rng(0)
labels = np.arange(60) % len(names)
values = (rng.normal(size=(5, 8))[labels] * 2 + rng.normal(size=(60, 8)) * 0.2).astype(np.float32)
model = BioVerse.new(PrecomputedEncoder("X_toy", dim=8), llm=llm, n_soft=2, hidden=16, rng=0, dropout=0.0)
model.space.fit(names)
tasks = [(ContrastiveTask(model), 1.0), (AutoregressiveTask(model, candidates=CandidateSet.of(model, names)), 0.5)]
out = {}
for kind, task in (("contrastive", tasks[0][0]), ("mixed", MixedTask(tasks))):
    # 15 rows: the shares of two processes differ.
    history = fit(task, LabelSampler(values, labels, names, batch_size=15), steps=3, lr=3e-3, progress=False)
    out[kind] = {"loss": history["loss"].tolist(), "grad_norm": history["grad_norm"].tolist(),
                 "weights": torch.cat([p.detach().flatten() for _, p in task.named_parameters()]).tolist()}
# A batch with fewer parts than processes leaves some without values.
out["idle"] = add_up([], {"loss": 2.0} if state is None or state.process_index == 0 else {})
open(f"{place}/{n}-{0 if state is None else state.process_index}.json", "w").write(json.dumps(out))
if state is not None:
    state.destroy_process_group()  # else its threads may outlive the program's end, which then aborts
"""


@pytest.mark.filterwarnings("ignore")
def test_contrastive_and_other_losses(tiny_llm: Path, tmp_path: Path) -> None:
    with socket.socket() as held:
        # Held as long as they run, so that no other program gets the port; who sets the same option may listen there.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port = str(held.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        ways = [("1", {}), *(("2", {**shared, "RANK": rank, "LOCAL_RANK": rank}) for rank in "01")]
        started = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(tmp_path), str(tiny_llm), n],
                env={**os.environ, **more, "OMP_NUM_THREADS": "1"},
            )
            for n, more in ways
        ]
        assert [one.wait(timeout=600) for one in started] == [0, 0, 0]
    one, first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("1-0", "2-0", "2-1"))
    for kind in ("contrastive", "mixed"):
        # The gradient is the same, so the weights are; and both processes have them.
        for name in ("loss", "grad_norm", "weights"):
            np.testing.assert_allclose(first[kind][name], one[kind][name], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(second[kind][name], first[kind][name], rtol=0, atol=1e-7)
        assert np.ptp(one[kind]["loss"]) > 1e-4
    assert [found["idle"] for found in (one, first, second)] == [{"loss": 2.0}] * 3
