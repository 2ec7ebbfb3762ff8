"""Torch's compiler is imported by who compiles, and by nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

SESSION = """
import sys
sys.path[:0] = {paths!r}
from exact_configs import made, node, one_model
from torchassistant import create_session, load_session
net = {{"batch_processors": {{"run": {{"neural_graph": [node("net", "x", "y_hat", "descent")]}}}}}}
net["optimizers"] = {{"descent": {{**made("Adam", lr=0.05), "model": "net"}}}}  # it has a state
session = create_session(one_model(net), session_dir="plain", trust=["exact_parts"])
session.train()
load_session("plain", trust=["exact_parts"]).evaluate([])
assert "torch._dynamo" not in sys.modules
run = node("net", "x", "y_hat", "descent", compile={{"backend": "eager"}})
net["batch_processors"]["run"]["neural_graph"] = [run]
create_session(one_model(net), session_dir="compiled", trust=["exact_parts"]).train()
assert "torch._dynamo" in sys.modules
"""


def test_optimizers_step_as_torch_steps_them() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", HERE / "uncompiled_steps.py"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "the same bits\n", done.stderr


def test_a_session_imports_it_where_its_config_compiles(tmp_path: Path) -> None:
    code = SESSION.format(paths=[str(ROOT), str(HERE)])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
