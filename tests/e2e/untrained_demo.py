"""Serve a bundle as an untrained demo; the child trains once somebody opens a pipe for writing.

Run as a script by `test_untrained_demo.py`: BUNDLE EVENTS PIPE PORT DATA.
"""

import sys

from app.commands.demo import serve_and_train
from app.core.settings import Settings

TRAIN = """
import sys
from pathlib import Path
from app.commands.demo_training import main
from app.offline.build import retrain

def train(root):
    Path(sys.argv[2]).read_text()
    return retrain(root, Path(sys.argv[1]))

sys.exit(main(sys.argv[3:], train))
"""

if __name__ == "__main__":
    bundle, events, pipe, port, data = sys.argv[1:]
    settings = Settings(bundle=bundle, port=port, data_dir=data, watch_bundle_ms=50)
    sys.exit(serve_and_train(settings, [sys.executable, "-c", TRAIN, events, pipe]))
