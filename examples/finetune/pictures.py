"""Writes the PNG files of three shapes, a folder for each.

    python -m examples.finetune.pictures

``sessions/shapes`` gets ``train``, ``validation`` and ``test``, each with a folder for each
class, and ``new``, a few images of no known class. The files are the same each time.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from PIL import Image

from examples.finetune.shapes import picture

FOLDER = Path("sessions/shapes")
CLASSES = ["disc", "square", "triangle"]
PER_CLASS = {"train": 20, "validation": 30, "test": 100}
NEW = 6


def main() -> None:
    """Write all files."""
    random = Random(1)
    for part, count in PER_CLASS.items():
        for name in CLASSES:
            for index in range(count):
                _write(picture(name, random), FOLDER / part / name / f"{index:03d}.png")
    for index in range(NEW):
        _write(picture(random.choice(CLASSES), random), FOLDER / "new" / f"{index}.png")


def _write(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


if __name__ == "__main__":
    main()
