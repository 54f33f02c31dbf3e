"""What an image is asked before it gets work: its code's digest, and with ``--gpu`` whether torch sees a card."""

import json
import sys

from release.running import environment


def main(*, gpu: bool) -> None:
    cuda = None
    if gpu:
        import torch

        cuda = torch.cuda.is_available()
    sys.stdout.write(json.dumps({"code_sha256": environment.code_sha256(), "cuda": cuda}) + "\n")


if __name__ == "__main__":
    main(gpu="--gpu" in sys.argv[1:])
