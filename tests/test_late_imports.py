"""Who finds the modules of the working directory, and who does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_ownership import CONFIG, ROOT

POISON = "open('poisoned-' + __name__, 'w').close()\n"

PARTS = {
    "parts/__init__.py": """
        from parts import nets

        def __getattr__(name):
            if name == "Lazy":
                from . import lazy
                return lazy.Lazy
            raise AttributeError(name)
    """,
    "parts/nets.py": """
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = nn.Linear(2, 1)

            def forward(self, x):
                from helpers.late import identity  # a folder that is no package
                return identity(self.linear(x))

        class Compiled(Net):
            def __init__(self):
                super().__init__()
                self.forward = torch.compile(super().forward, backend="eager", fullgraph=True)
    """,
    "parts/lazy.py": "class Lazy:\n    value = 1\n",
    "parts/found/__init__.py": "",
    "parts/found/one.py": "import parts\nparts.nets.one = True\n",
    "parts/data.py": """
        import importlib
        import pkgutil
        import threading

        import torch

        import parts.found

        class Points:
            def __init__(self):
                for found in pkgutil.walk_packages(parts.found.__path__, "parts.found."):
                    importlib.import_module(found.name)
                assert parts.nets.one and parts.Lazy.value

            def __len__(self):
                return 16

            def __getitem__(self, index):
                import sided
                own = importlib.import_module(f"deep.{sided.NAME}")
                done = []
                thread = threading.Thread(target=lambda: done.append(__import__("threaded").X))
                thread.start()
                thread.join()
                return torch.ones(2) * index * own.ONE * done[0], sided.Box(1.0)
    """,
    "parts/pairs.py": """
        import torch

        class Pairs:
            def __len__(self):
                return 16

            def __getitem__(self, index):
                return torch.ones(2) * index, torch.ones(1)
    """,
    "parts/collate.py": """
        import torch

        def collate(examples):
            return [torch.stack([x for x, _ in examples]), BoxedLike(examples)]

        class BoxedLike(list):
            def __init__(self, examples=()):
                super().__init__(box for _, box in examples)
    """,
    "sided.py": "NAME = 'deeper'\nclass Box:\n    def __init__(self, value): self.value = value\n",
    "threaded.py": "X = 1\n",
    "deep/__init__.py": "",
    "deep/deeper.py": "from .one import ONE\n",
    "deep/one.py": "ONE = 1\n",
    "helpers/late.py": "def identity(x):\n    return x\n",
}


def lay(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.strip("\n").splitlines()
        indent = min((len(x) - len(x.lstrip()) for x in lines if x.strip()), default=0)
        path.write_text("\n".join(line[indent:] for line in lines) + "\n")
    return folder


def run(folder: Path, *arguments: str, script: str = "", **env: str) -> Any:
    called = [str(ROOT / script)] if script else ["-m", "torchassistant"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TORCHASSISTANT")}
    return subprocess.run(
        [sys.executable, *called, *arguments],
        cwd=folder,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def poisoned(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("poisoned-*"))


def config_of(dataset: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    config = json.loads(json.dumps(CONFIG))
    rows = {row["name"]: row["spec"] for row in config["initialize"]["definitions"]}
    rows["points"] |= dataset
    rows["net"] |= {"class": "torch.nn.Linear", "args": [2, 1]}
    rows["all"]["kwargs"] |= kwargs
    return config


METRICS: dict[str, list[Any]] = {
    "torchmetrics.detection.MeanAveragePrecision": [],
    "torchmetrics.text.ROUGEScore": [False, None, None, "best", "rouge1"],
}
ASKED_LATE = (
    *("h5py", "pesq", "pycocotools", "faster_coco_eval", "nltk", "rouge_score", "bottleneck"),
    *("numexpr", "triton", "tabulate", "opt_einsum", "scipy", "lxml", "defusedxml", "tables"),
    *("transformers", "sitecustomize", "usercustomize", "requests", "gdown", "accimage", "av"),
    *("torchaudio", "torch_xla", "onnx", "tensorboard", "yaml", "ujson", "orjson", "chardet"),
)


def poison(folder: Path) -> None:
    for name in ASKED_LATE:
        (folder / f"{name}.py").write_text(POISON)
    # An entry point, as torch loads those of backends.
    lay(
        folder,
        {
            "backend-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: backend\nVersion: 1.0",
            "backend-1.0.dist-info/entry_points.txt": "[torch.backends]\nbackend = backend:load",
            "backend.py": POISON + "def load(): pass",
        },
    )


@pytest.mark.parametrize("how", ["script", pytest.param("path", marks=pytest.mark.slow)])
def test_libraries_find_nothing_that_lies_beside_a_config(tmp_path: Path, how: str) -> None:
    poison(tmp_path)
    config = config_of({"class": "torchvision.datasets.PCAM", "kwargs": {"root": "."}})
    for number, (name, args) in enumerate(METRICS.items()):
        config["initialize"]["definitions"].append(
            {
                "group": "metrics",
                "name": f"m{number}",
                "spec": {"class": name, "args": args, "inputs": ["y_hat", "y"]},
            }
        )
    (tmp_path / "config.json").write_text(json.dumps(config))
    if how == "script":
        done = run(tmp_path, "config.json", script="init.py")
    else:
        # What Python itself reads from its path when it starts is not ours to keep from it.
        for name in ("sitecustomize", "usercustomize"):
            (tmp_path / f"{name}.py").unlink()
        done = run(tmp_path, "init", "config.json", PYTHONPATH=f"{ROOT}:.:{tmp_path}:")
    assert done.returncode == 2, done.stderr
    assert poisoned(tmp_path) == []
    assert "h5py" in done.stderr


@pytest.mark.slow  # it compiles, which takes its time
def test_what_was_compiled_is_tried_out_without_them(tmp_path: Path) -> None:
    lay(tmp_path, PARTS | {"ctypes.py": POISON, "torchaudio.py": POISON})
    config = config_of({"class": "parts.pairs.Pairs"})
    rows = {row["name"]: row["spec"] for row in config["initialize"]["definitions"]}
    rows["processor"]["compile"] = True
    (tmp_path / "config.json").write_text(json.dumps(config))
    # The compiler keeps what it has found out.
    fresh = str(tmp_path / "cache")
    done = run(tmp_path, "check", "--preflight", "config.json", TORCHINDUCTOR_CACHE_DIR=fresh)
    assert done.returncode == 0, done.stderr
    assert poisoned(tmp_path) == []


@pytest.mark.parametrize(
    "method",
    [
        "fork",
        # With a model that is compiled, and in processes that import torch for themselves.
        *(pytest.param(m, marks=pytest.mark.slow) for m in ("compiled", "spawn", "forkserver")),
    ],
)
def test_the_users_own_code_goes_on_importing(tmp_path: Path, method: str) -> None:
    kind = "Compiled" if method == "compiled" else "Net"
    method = "fork" if method == "compiled" else method
    lay(tmp_path, PARTS)
    # Beside what Python needs to start a worker, and what is asked for in one.
    for name in ("h5py", "pickle", "random", "selectors", "torchmetrics", "numpy", "struct"):
        (tmp_path / f"{name}.py").write_text(POISON)
    workers = 2 if method == "fork" else 1
    config = config_of(
        {"class": "parts.data.Points"}, num_workers=workers, multiprocessing_context=method
    )
    rows = {row["name"]: row["spec"] for row in config["initialize"]["definitions"]}
    del rows["net"]["args"]
    rows["net"]["class"] = f"parts.nets.{kind}"
    rows["mse"] |= {"inputs": ["y_hat", "x"], "transform": {"class": "own.First"}}
    rows["all"]["collator"] = "boxed"
    config["initialize"]["definitions"].append(
        {"group": "collators", "name": "boxed", "spec": {"class": "parts.collate.collate"}}
    )
    lay(
        tmp_path,
        {
            "own.py": "class First:\\n    def __init__(self, session):\\n        pass\\n"
            "    def __call__(self, y_hat, x):\\n        return y_hat, x[:, :1]\\n".replace(
                "\\n", "\n"
            )
        },
    )
    (tmp_path / "config.json").write_text(json.dumps(config))
    for arguments in (["init", "config.json"], ["train", "run"]):
        done = run(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
    assert poisoned(tmp_path) == []


@pytest.mark.slow  # it trains three times
def test_a_run_that_is_verified_starts_its_processes_without_them(tmp_path: Path) -> None:
    lay(tmp_path, PARTS)
    for name in ("pickle", "selectors", "struct"):
        (tmp_path / f"{name}.py").write_text(POISON)
    config = config_of({"class": "parts.pairs.Pairs"})
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = run(tmp_path, "verify-resume", "config.json")
    assert "iterations, and the same interrupted after" in done.stdout, done.stderr
    assert poisoned(tmp_path) == []


# Without a run, where Python alone is started

LIBRARY = {
    "lib/__init__.py": """
        import importlib
        import importlib.util
        import threading

        def late(name):
            return importlib.import_module(name)

        def called(function, *args, **kwargs):
            return function(*args, **kwargs)

        def has(name):
            return importlib.util.find_spec(name) is not None

        def in_a_thread(name):
            done = []
            thread = threading.Thread(target=lambda: done.append(late(name)))
            thread.start()
            thread.join()
            return done
    """,
    "installed.py": "WHERE = 'library'\n",
    "wandb/__init__.py": "WHERE = 'library'\n",
    "shared/theirs.py": "WHERE = 'library'\n",
}
MINE = {
    "mine.py": """
        import lib

        def late(name):
            return __import__(name)

        def by_library(name):
            return lib.late(name)

        def called(function, *args, **kwargs):
            return function(*args, **kwargs)
    """,
    "h5py.py": POISON,
    "wave.py": POISON,
    "installed.py": "WHERE = 'mine'\n",
    "wandb/run-1/log.txt": "",
    "shared/ours.py": "WHERE = 'mine'\n",
    "other.py": "X = 1\n",
    "texts.py": "exec('import named_in_a_text', {})\n",
    "named_in_a_text.py": "",
}
BEGIN = """
import os, sys
sys.path[:] = [p for p in sys.path if p != '']
sys.path.append({library!r})
from torchassistant import lateimports, ownership
sys.path[:0] = ["", ".", os.getcwd(), "../work"]
lateimports.stand_in()
ownership.settle({trusted!r})
ours = {{"__name__": "torchassistant.assembly.importing", "__file__": "x"}}
exec(compile("import mine", "x", "exec"), ours)
import lib
mine = sys.modules["mine"]


def raised(call):
    try:
        call()
    except ModuleNotFoundError as error:
        return error
"""


def told(folder: Path, code: str, trusted: tuple[str, ...] = (), **env: str) -> str:
    lay(folder / "site", LIBRARY)
    work = lay(folder / "work", MINE)
    begin = BEGIN.format(library=str(folder / "site"), trusted=trusted)
    (folder / "program.py").write_text(begin + code)
    done = subprocess.run(
        [sys.executable, "-P", str(folder / "program.py")],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert poisoned(work) == []
    return done.stdout


def test_a_library_is_told_that_it_lies_there(tmp_path: Path) -> None:
    out = told(
        tmp_path,
        "for call in (lib.late, mine.by_library, lib.in_a_thread):\n"
        "    error = raised(lambda: call('h5py'))\n"
        "    print(error and (error.name, str(error)))\n"
        "print(lib.has('h5py'), lib.has('other'), raised(lambda: lib.late('nowhere')))\n",
    )
    first, second, _, has = out.splitlines()
    assert first == second
    assert first.startswith("('h5py', \"No module named 'h5py' (one lies in the working directory")
    assert "--trust h5py allows it" in first
    assert has == "False False No module named 'nowhere'"


def test_what_is_trusted_is_for_everybody(tmp_path: Path) -> None:
    code = "print(lib.late('other').X, lib.late('installed').WHERE, lib.has('h5py'))"
    assert told(tmp_path, code, ("other.part", "installed")) == "1 library False\n"


def test_the_users_own_code_finds_its_own_first(tmp_path: Path) -> None:
    code = """
print(mine.late('other').X, mine.late('installed').WHERE, mine.late('wave').open and 1)
print(mine.late('wandb').WHERE)
mine.late('texts')
import importlib
for name in ('ours', 'theirs'):
    print(mine.late(f'shared.{name}') and importlib.import_module(f'shared.{name}').WHERE)
sys.path.append('/nowhere')
importlib.invalidate_caches()
print(len(list(sys.modules['shared'].__path__)))
"""
    assert told(tmp_path, code).split() == ["1", "mine", "1", "library", "mine", "library", "2"]


def test_what_unpickles_does_so_for_whoever_calls_it(tmp_path: Path) -> None:
    lay(tmp_path / "work", {"kept.py": "class Kept: pass\n"})
    code = """
import joblib, numpy, pandas, torch
thing = mine.late('kept').Kept()
torch.save(thing, 'a.pt')
joblib.dump(thing, 'a.joblib')
numpy.save('a.npy', numpy.array([thing]))
pandas.to_pickle(thing, 'a.pickle')
reads = [
    lambda by: by(torch.load, 'a.pt', weights_only=False),
    lambda by: by(joblib.load, 'a.joblib'),
    lambda by: by(numpy.load, 'a.npy', allow_pickle=True)[0],
    lambda by: by(pandas.read_pickle, 'a.pickle'),
]
for read in reads:
    del sys.modules['kept']
    print(raised(lambda: read(lib.called)) is None, type(read(mine.called)).__name__)
"""
    assert told(tmp_path, code).splitlines() == ["False Kept"] * 4


def test_what_is_installed_for_editing_from_there_is_for_everybody(tmp_path: Path) -> None:
    info = tmp_path / "site" / "other-1.0.dist-info"
    address = (tmp_path / "work").resolve().as_uri()
    lay(info, {"METADATA": "Metadata-Version: 2.1\nName: other\nVersion: 1.0"})
    (info / "direct_url.json").write_text(
        json.dumps({"url": address, "dir_info": {"editable": True}})
    )
    assert told(tmp_path, "print(lib.late('other').X, raised(lambda: lib.late('h5py')).name)") == (
        "1 h5py\n"
    )


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("safe_path", ["", "1"])
def test_processes_of_the_users_own_know_its_modules(
    tmp_path: Path, method: str, safe_path: str
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "pooled.py").write_text(
        "import os\nclass Box: pass\ndef work(x):\n    import other\n"
        "    return Box(), other.X, os.environ.get('PYTHONSAFEPATH', '')\n"
    )
    code = f"""
def main():
    import multiprocessing
    pooled = mine.late('pooled')
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        (got,) = pool.map(pooled.work, [1])
    print(type(got[0]) is pooled.Box, got[1:])

main() if __name__ == '__main__' else None
"""
    assert told(tmp_path, code, PYTHONSAFEPATH=safe_path) == f"True (1, {safe_path!r})\n"


def test_what_is_to_be_compiled_tells_the_compiler(tmp_path: Path) -> None:
    code = """
from torch._inductor.cpu_vec_isa import VecISA
before = VecISA._avx_py_load
from torchassistant.graph.model_calls import Compiling
for _ in range(2):
    Compiling()(lambda x: x)
print(VecISA._avx_py_load.count("sys.path[:] ="), VecISA._avx_py_load.endswith(before))
"""
    assert told(tmp_path, code) == "1 True\n"
