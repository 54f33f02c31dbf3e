"""What a Docker engine, a registry or a build says when it fails → what it means, and what to do."""

import re

from release.values.errors import PreflightError, Stop, VerificationError

FAULTS = {  # the first that fits; {address} is the engine's
    "PermissionError": (
        "This user may not speak to the Docker engine at {address}. Add it to the engine's group, `sudo usermod "
        "-aG docker $USER`, and log in again."
    ),
    "FileNotFoundError|ConnectionRefusedError": (
        "No Docker engine answers at {address}. Start it, as with `sudo systemctl start docker`."
    ),
    "could not select device driver": (
        "The Docker engine cannot give a GPU to a container. Install nvidia-container-toolkit, run `sudo "
        "nvidia-ctk runtime configure --runtime=docker`, and restart the engine; or set container.gpus: none."
    ),
    "unsatisfied condition: cuda|please update your driver": (
        "The NVIDIA driver is too old for this image: CUDA 13.0 needs R580 or newer. Update the driver, and see "
        "that nvidia-smi says so."
    ),
    "nvidia-container-cli|nvml": (
        "NVIDIA's container runtime cannot reach the GPU. See that nvidia-smi works outside of a container."
    ),
    "executable file not found": "The image cannot start Python: it is none of this project. Check container.image.",
    "[Nn]o space left on device|ENOSPC": (
        "The disk of the Docker engine is full. See `docker system df`, free some space (`docker image prune` "
        "takes away unused images), and run again."
    ),
    "toomanyrequests": "The registry has had too many requests from here. Wait, or log in with `docker login`.",
    "manifest unknown|[Nn]o such image|name unknown|does not exist|not found: manifest|: not found": (
        "There is no such image. Check container.image, name and digest; null builds the image of this checkout."
    ),
    "unauthorized|denied|authentication required": (
        "The registry does not give this image to you. Log in with `docker login`."
    ),
    "x509|CERTIFICATE_VERIFY|certificate": 'A certificate is not trusted. See docs/container.md, "Certificates".',
    "dial tcp|no such host|i/o timeout|TLS handshake|[Tt]emporary failure in name resolution|dns error": (
        "A registry or package index cannot be reached from the Docker engine. Check the network and the proxy."
    ),
    "[Tt]imed out|[Tt]imeout": "The Docker engine at {address} does not answer. Restart it, and run again.",
    "Connection|RemoteDisconnected|Broken pipe": (
        "The Docker engine at {address} went away. Start it and run again: what was finished is kept."
    ),
}


def explained(words: str, address: str) -> Stop:
    """The ``Stop`` for what an engine at ``address`` said."""
    if mismatch := re.search("DO NOT MATCH THE HASHES|Hash mismatch", words):
        lines = words[words.rfind("\n", 0, mismatch.start()) + 1 :][:1000]
        return VerificationError(
            f"A package is not the one that was locked, so no image was made. Do not go around it.\n{lines}"
        )
    said = words.strip()[-2000:]
    for pattern, meaning in FAULTS.items():
        if re.search(pattern, words):
            return PreflightError(f"{meaning.format(address=address)}\nIts words: {said}")
    return PreflightError(f"The Docker engine could not do it. Its words: {said}")
