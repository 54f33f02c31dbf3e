"""The image for a card, built from CUDA's lock and looked through on a machine without one.

It fetches 3 GB: `GPU_IMAGE=1 make test ARGS=tests/release/running/test_gpu_image.py`, as a workflow does each week.
"""

import gc
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from release.config.settings import Container
from release.running import container, image_source
from release.values.errors import PreflightError
from tests.helpers.cards import ADA_LINE, machine_with
from tests.helpers.engine_fixture import Images

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("GPU_IMAGE" not in os.environ, reason="fetches 3 GB; GPU_IMAGE=1 runs it"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]
SEEN = """
import importlib.metadata, json, os, stat, sys
import torch, transformers, peft, bitsandbytes, trl, jsonschema, huggingface_hub, great_expectations
import release.models.train, release.models.generate, gates
odd, writable = [], []
for folder, folders, files in os.walk("/"):
    folders[:] = [one for one in folders if os.path.join(folder, one) not in ("/proc", "/sys", "/dev")]
    if os.access(folder, os.W_OK) and not (folder + "/").startswith("/tmp/"):
        writable.append(folder)
    for name in files:
        path = os.path.join(folder, name)
        mode = os.lstat(path).st_mode
        if mode & (stat.S_ISUID | stat.S_ISGID) or name.endswith((".whl", ".pyc")):
            odd.append(path)
        if name in ("gcc", "cc", "g++", "nvcc", "ld", "make", "git", "apt", "curl", "wget", "ssh"):
            odd.append(path)
        if name in (".netrc", "pip.conf", "token", ".git-credentials", "id_rsa"):
            odd.append(path)
print(json.dumps({
    "cuda": torch.version.cuda, "sees": torch.cuda.is_available(), "odd": sorted(odd), "writable": sorted(writable),
    "packages": len(list(importlib.metadata.distributions(path=[sys.prefix + "/lib/python3.11/site-packages"]))),
    "secrets": [one for one in os.environ if one.endswith(("TOKEN", "KEY", "PASSWORD"))],
}))
"""


def test_the_image_for_a_card_is_built_imports_everything_and_holds_nothing_beside_it(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with images.client() as client:
        built: list[dict[str, Any]] = list(
            client.api.build(
                fileobj=io.BytesIO(image_source.context()),
                custom_context=True,
                tag="for-a-card",
                buildargs={"BASE_IMAGE": images.base},
                network_mode="host",  # the tests' engine has no bridge
                rm=True,
                forcerm=True,
                decode=True,
                timeout=3600,
            )
        )
        assert not [one for one in built if "error" in one], built[-3:]
        image = client.images.get("for-a-card")
        rights: Any = {"network_mode": "none", "read_only": True, "tmpfs": {"/tmp": ""}, "remove": True}
        seen = json.loads(client.containers.run(image.id, ["python", "-c", SEEN], **rights).splitlines()[-1])
        layers = [(one["Size"], one["CreatedBy"][:60]) for one in client.api.history(image.id) if one["Size"]]
    print(f"\n{image.attrs['Size'] / 1e9:.2f} GB, {seen['packages']} packages")
    for size, by in layers:
        print(f"  {size / 1e9:.3f} GB  {by}")

    assert image.labels["adapter-release.lock"] == "gpu"
    assert image.attrs["Config"]["User"] == "10001:10001"
    assert seen["cuda"].startswith("13.")
    assert not seen["sees"]
    assert seen["odd"] == []
    assert seen["writable"] == []
    assert seen["secrets"] == []

    told: list[object] = []
    assert image.id is not None
    monkeypatch.setenv("DOCKER_HOST", images.engine.address)
    machine_with(tmp_path, monkeypatch, ADA_LINE)
    with pytest.raises(PreflightError, match=r"A GPU is asked for, but torch in sha256:.* sees none"):
        container.find(Container(image=image.id, gpus="all"), told.append)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = container.find(Container(image=image.id, gpus="none"), told.append)
    assert found is not None
    assert found.image_digest == image.id
    gc.collect()  # docker 7.2.0 leaves sockets to it
