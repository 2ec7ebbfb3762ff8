"""Measures, prints one table, keeps the figures: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType

from benchmarks.records import FOLDER, Result, read_all, read_one, today
from benchmarks.report import PAGE, page, table
from benchmarks.workloads import BEFORE, GPU, PEERS, WORKLOADS

KNOWN = {**WORKLOADS, **GPU, **BEFORE, **PEERS}
SETS = {"all": WORKLOADS, "gpu": GPU, "before": BEFORE, "peers": PEERS}


def main(argv: list[str]) -> int:
    """Measure what is asked for.

    Returns:
        0, or 1 where trained weights differ or a workload fails.
    """
    arguments = _parser().parse_args(argv)
    if arguments.quick and arguments.results == FOLDER:
        # Figures of tiny sizes say nothing, and must not stand where others look for some.
        arguments.results = Path(tempfile.mkdtemp(prefix="figures-"))
    # Read when torch is imported, here and in every process that is started.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if arguments.only:
        status = measure(arguments.only, arguments.quick, arguments.results)
    else:
        status = max(
            # A process for each: what one leaves in memory is in nobody's way.
            subprocess.run(_again(name, arguments.quick, arguments.results)).returncode
            for name in SETS[arguments.set]
        )
    if arguments.results == FOLDER:
        PAGE.write_text(page(read_all()), encoding="utf-8")
    return status


def measure(name: str, quick: bool, folder: Path) -> int:
    """Measure one workload, print its table and keep its figures."""
    module = import_module(f"benchmarks.workloads.{KNOWN[name]}")
    missing = getattr(module, "missing", lambda: None)()
    if missing:
        print(f"{name}: left out, {missing}")
        return 0
    figures = module.measure(quick)
    result = Result(name, _about(module), today(), _circumstances(), figures)
    result = result.after(read_one(name, folder))
    result.write(folder)
    print(f"\n{name}: {result.about}\n\n{table(figures)}", flush=True)
    for what in result.worse:
        print(f"warning: {what}: worse than before, by more than the noise", file=sys.stderr)
    for what in result.differs:
        print(f"error: {what}: the trained weights differ", file=sys.stderr)
    return 1 if result.differs else 0


def _about(module: ModuleType) -> str:
    return (module.__doc__ or "").splitlines()[0]


def _circumstances() -> dict[str, str | int]:
    from benchmarks.machine import circumstances

    return circumstances()


def _again(name: str, quick: bool, folder: Path) -> list[str]:
    more = ["--quick"] if quick else []
    command = [sys.executable, "-m", "benchmarks", "--only", name, "--results", str(folder)]
    return [*command, *more]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=KNOWN, help="one workload")
    parser.add_argument("--set", choices=SETS, default="all", help="which workloads")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that all runs; no figures are kept"
    )
    parser.add_argument("--results", type=Path, default=FOLDER, help="where figures are kept")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
