"""Back to a version that was champion before."""

from pathlib import Path
from tempfile import TemporaryDirectory

from cnn.config.environment import Environment
from cnn.errors import ConfigError, IntegrityError, ServiceError
from cnn.promotion.log import DecisionLog, Line, Standing, champions
from cnn.promotion.reason import kept_reason
from cnn.promotion.verdict import ROLLED_BACK, kept_digest
from cnn.tracking.promotions import promoting
from cnn.tracking.registry import Registry, Version

_SEE = "see cnn history"


def rollback(
    name: str, environment: Environment, registry: Registry, *, to: int | None = None, reason: str = ""
) -> Line:
    """Make a version champion again, and write down who did it and why; the line of the history.

    Args:
        to: Its number; None for the champion before the present one. What was rolled back from does not count.
        reason: Kept; may be empty.

    Raises:
        ConfigError: There is no such version, it was never champion, or it is champion now; the reason cannot be kept.
        IntegrityError: Its files are not what they were when it became champion.
        ServiceError: The registry does not answer, or somebody else moved the champion meanwhile.
    """
    log, words = DecisionLog(registry, name, environment), kept_reason("--reason", reason, needed=False)
    with promoting(environment.home):
        standing = log.standing()
        target = _target(name, standing, registry, to)
        _check_files(target, standing, registry)
        before = standing.champion.number if standing.champion else None
        line = {"kind": ROLLED_BACK, "promoted": True, "challenger": target.number, "champion": before}
        line |= {"reason": words or "no reason was given", "digest": target.tags["sha256"]}
        if not log.append(line, standing.head):
            received = "a decision of somebody else meanwhile"
            raise ServiceError("champion", received=received, expected="it as it was", change=f"{_SEE}, then again")
        return dict(log.standing().lines[-1])


def _target(name: str, standing: Standing, registry: Registry, to: int | None) -> Version:
    earlier = [number for number in champions(standing.lines)[:-1] if number is not None]
    now = standing.champion.number if standing.champion else None
    if to is None and not earlier:
        received = "no champion" if now is None else f"no champion before version {now}, the present one"
        raise ConfigError(name, received=received, expected="one to go back to", change=_SEE)
    number = earlier[-1] if to is None else to
    if number == now:
        raise ConfigError("--to", received=f"{number}, the present champion", expected="another version", change=_SEE)
    if number not in {line["challenger"] for line in standing.lines if line["promoted"]}:
        known = ", ".join(map(str, dict.fromkeys(earlier))) or "none"
        raise ConfigError("--to", received=number, expected=f"a version that was champion: {known}", change=_SEE)
    found = registry.version(name, number)
    if found is None or not found.is_ours:
        received = f"version {number}, which is gone" if found is None else f"version {number}, registered by others"
        raise ConfigError(name, received=received, expected="a version of cnn register", change=_SEE)
    return found


def _check_files(version: Version, standing: Standing, registry: Registry) -> None:
    if kept_digest(standing.lines, version.number) not in ("", version.tags["sha256"]):
        raise IntegrityError(
            f"{version.name} version {version.number}",
            received=f"sha256 {version.tags['sha256'][:12]}…",
            expected="that of the model that became champion",
            change="name another version with --to",
        )
    with TemporaryDirectory() as folder:
        registry.download(version, Path(folder))
