"""DVC in a worktree: the data from where they are, then the stages that made the model.

The worktree's DVC knows no git and uses the cache of the person's checkout, so that what is there need not be fetched.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cnn.config.environment import Environment
from cnn.config.outputs import MANIFEST, PREPARED
from cnn.durable import read_sealed
from cnn.errors import ServiceError
from cnn.reproduction.worktree import Place
from cnn.runtime import DVC, QUIET, end_tree

_OURS = {"core.no_scm": "true", "core.autostage": "false", "core.analytics": "false"}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """DVC's stages in a worktree.

    Args:
        checkout: The person's project, whose remotes and cache are used.
    """

    place: Place
    checkout: Path
    environment: Environment
    night: str = ""

    def begin(self) -> None:
        """Give the worktree's DVC the remotes and the cache of the checkout."""
        if not (self.place.project / ".dvc").is_dir():
            self._dvc("init", "--no-scm", "--quiet")
        known = self._known()
        cache = known.get("cache.dir", str((self.checkout / ".dvc" / "cache").absolute()))
        text = dvc_config(known | _OURS | {"cache.dir": cache})
        path = self.place.project / ".dvc" / "config.local"
        path.touch(mode=0o600)  # a remote's password may stand among the settings
        path.write_text(text, encoding="utf-8")

    def bring(self, *stages: str) -> str:
        """Outputs as the lock names them, from the cache or a remote; where they came from, empty if from nowhere."""
        if self._dvc("checkout", *stages, quiet=True) == 0:
            return "the local cache"
        for remote in self._remotes():
            self._dvc("remote", "modify", "--local", remote, "verify", "true", quiet=True)  # a flipped bit is no data
            if self._dvc("pull", "--remote", remote, *stages, quiet=True) == 0:
                return f"DVC remote {remote}"
        return ""

    def bring_data(self, data_hash: str) -> str:
        """The prepared images; where they came from.

        Args:
            data_hash: What they should have. Where a lock names others, as one of the commit may, they are made anew.
        """
        place = self.bring("prepare")
        if place and self.data_hash() == data_hash:
            return place
        self.run("prepare", force=bool(place))
        return "the source, prepared anew"

    def data_hash(self) -> str:
        """Of the prepared images that lie there now; empty when there are none."""
        manifest = self.place.project / PREPARED / MANIFEST
        return str(read_sealed(manifest, made_by="cnn prepare")["data_hash"]) if manifest.exists() else ""

    def run(self, stage: str, *, force: bool = True) -> None:
        """Run a stage.

        Args:
            force: Past the lock and the run cache, which would only hand the old result out.

        Raises:
            ServiceError: It failed; it has said why on the screen.
        """
        words = ["--force", "--no-run-cache"] if force else []
        if code := self._dvc("repro", "--single-item", *words, stage):
            change = "read above what it says; --keep leaves the worktree for a look"
            raise ServiceError(f"stage {stage}", received=f"exit code {code}", expected="0", change=change)

    def _dvc(self, *words: str, quiet: bool = False) -> int:
        output = subprocess.DEVNULL if quiet else None
        process = subprocess.Popen(
            [*DVC, *words], cwd=self.place.project, env=self._settings(), stdout=output, stderr=output
        )
        try:
            return process.wait()
        except BaseException:
            end_tree(process)  # a training would go on in a folder that is about to be removed
            raise

    def _settings(self) -> Mapping[str, str]:
        """The stages' environment: a home of their own, the code of the commit, the downloads that are here."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CNN_")}
        paths = [str(Path(sys.executable).parent), ours.get("PATH", "")]
        code = [str(self.place.project)] if (self.place.project / "cnn" / "__init__.py").exists() else []
        code += [ours["PYTHONPATH"]] if "PYTHONPATH" in ours else []
        return {
            **ours,
            **QUIET,
            "PATH": os.pathsep.join(paths),
            "PYTHONPATH": os.pathsep.join(code),
            "PYTHONUNBUFFERED": "1",
            "CNN_HOME": str(self.place.home),
            "CNN_DATA_CACHE": str(self.environment.downloads),
            **({"CNN_NIGHT": self.night} if self.night else {}),
        }

    def _known(self) -> dict[str, str]:
        """DVC's settings in the checkout, paths made absolute; a later line holds."""
        command = [sys.executable, "-m", "dvc", "config", "--list"]
        listed = subprocess.run(command, cwd=self.checkout, capture_output=True, text=True, check=False).stdout
        return dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)

    def _remotes(self) -> list[str]:
        """The one that nights are pushed to first, then DVC's own choice, then the others."""
        known = self._known()
        names = [found[1] for key in known if (found := re.fullmatch(r"remote\.(.+)\.url", key))]
        preferred = [name for name in (self.environment.dvc_remote, known.get("core.remote", "")) if name in names]
        return list(dict.fromkeys([*preferred, *names]))


def dvc_config(settings: Mapping[str, str]) -> str:
    """Settings as DVC's configuration file has them.

    Example:
        >>> print(dvc_config({"remote.store.url": "/a", "core.no_scm": "true"}))
        ['remote "store"']
        url = "/a"
        [core]
        no_scm = "true"
        <BLANKLINE>
    """
    sections: dict[str, list[str]] = {}
    for key, value in settings.items():
        section, _, option = key.rpartition(".")
        kind, _, name = section.partition(".")
        quote = "'" if '"' in value else '"'
        sections.setdefault(f"['{kind} \"{name}\"']" if name else f"[{kind}]", []).append(
            f"{option} = {quote}{value}{quote}"
        )
    return "".join(f"{head}\n" + "\n".join(lines) + "\n" for head, lines in sections.items())
