"""Runs the programs of pages, writes what they print and keeps what they draw.

python -m tests.docs [PAGE ...]
"""

import os
import pathlib
import shutil
import sys
import tempfile

from tests.docs import pages

if __name__ == "__main__":
    for path in pages.chosen(sys.argv[1:]):
        text = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as made:
            os.chdir(made)
            path.write_text(pages.with_outputs(text, pages.run(text)), encoding="utf-8")
            for picture in pathlib.Path(made).glob("*.png"):
                shutil.copy(picture, pages.DOCS / "images")
