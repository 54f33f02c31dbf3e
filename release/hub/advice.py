"""What to do about a Hub that refuses, in words; by the HTTP status of its answer where there is one."""

import os

WITHOUT_XET = os.environ.get("HF_HUB_DISABLE_XET", "").upper() in ("1", "ON", "YES", "TRUE")

ADVICE = {
    401: "The Hub does not accept this token. Set HF_TOKEN to one that may write, from {endpoint}/settings/tokens.",
    403: "The token is valid but may not do this. Set HF_TOKEN to one with write access to the repository's owner.",
    404: "The repository or revision does not exist, or this token may not read it. Check the name and HF_TOKEN.",
    409: "Something with this name is there already, or another change is in progress. Run again.",
    412: "main moved: somebody else committed meanwhile, and their commit was left alone. Run again.",
    413: "The Hub finds the upload too large. Ask its owner for a higher limit, or publish fewer files.",
    429: "The Hub asks for fewer requests. Wait a few minutes and run again; finished steps are not repeated.",
    507: "The Hub's disk is full. Free space there and run again; finished steps are not repeated.",
}
REFUSED = "The Hub refuses this request; its words are above. Correct what they name and run again."
SERVER_FAULT = "The Hub has a fault of its own. Run again later; finished steps are not repeated."
UNREACHABLE = (
    "Nothing answers there. Check HF_ENDPOINT and the network, then run again; finished steps are not repeated."
    + ("" if WITHOUT_XET else " For a Hub without the Xet protocol, set HF_HUB_DISABLE_XET=1.")
)
KEYLESS_ADVICE = (
    "In the workflow's job: `permissions: id-token: write`. On the Hub: the repository of HF_OIDC_RESOURCE exists, and "
    "its settings name this GitHub repository (and branch and workflow, where they name any) as a trusted publisher. "
    "Or unset HF_OIDC_RESOURCE and set HF_TOKEN."
)
GATED = (
    "This repository is gated. Request access on its page at {endpoint}, and set HF_TOKEN to a token of the account "
    "with access."
)
ANONYMOUS = "HF_TOKEN is not set. Set it to a token that may write, from {endpoint}/settings/tokens."

NOT_A_HUB = "It does not answer as a Hub does. Check HF_ENDPOINT, or what --hub or publishing.endpoint names."
