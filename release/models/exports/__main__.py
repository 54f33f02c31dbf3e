"""``python -m release.models.exports RUN BASE KEPT FORM WHEEL``: the stage in its process."""

from release.models.exports import making
from release.running import child

if __name__ == "__main__":
    child.main(making.stage)
