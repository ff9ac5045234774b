"""Nights whose record is known, for their pages."""

from studied import HOSTILE, facts_of, ledger

from cnn.config.space import Float
from cnn.diagnosis.effects import Effect
from cnn.nights import Night
from cnn.reports.night_facts import NightFacts
from cnn.reports.study_facts import Round

SECONDS = {"reconcile": 1.0, "prepare": 12.0, "data check": 2.0, "search": 3600.0, "train": 540.0, "evaluate": 31.0}


def decision(*, promoted=True, champion=6, **changes):
    """A verdict as the gate writes it."""
    ordinary = {
        "promoted": promoted,
        "reason": "better beyond luck",
        "challenger": 7,
        "champion": champion,
        "figures": {
            "wins": 320.0, "losses": 240.0, "n": 10_000.0, "difference": 0.008, "low": 0.0034, "high": 0.0126,
            "p_value": 0.00041,
        },
        "rules": [
            {"rule": "digest", "passed": True, "sentence": "its files are as registered"},
            {"rule": "gap", "passed": True, "sentence": "gap +0.0310", "figure": 0.031, "limit": 0.2},
            {"rule": "better", "passed": promoted, "sentence": "p = 0.00041", "figure": 0.00041, "limit": 0.019},
            {"rule": "calibration", "passed": None, "sentence": "not tried"},
        ],
        "look": 3,
        "left": 0.31,
    }  # fmt: skip
    return ordinary | changes


def night(name="night-2026-11-24-0100", *, day=24, score=0.8712, **changes):
    """A night that came to its end."""
    half = 0.0066
    ordinary = {
        "name": name,
        "checkout": "/data/pictures",
        "params_digest": "d",
        "began": f"2026-11-{day:02}T01:00:00.000+01:00",
        "searched": True,
        "finished": True,
        "seconds": SECONDS,
        "cpu_s": {part: 1.8 * seconds for part, seconds in SECONDS.items()},
        "version": "cnn-overnight version 7",
        "verdict": "version 7 is champion now: better beyond luck",
        "saved": "saved as DVC experiment night-2026-11-24-0100",
        "settings": {"search.seed": 4, "train.epochs": 30, "prepare.task": "multiclass"},
        "data_hash": "a" * 64,
        "data": {
            "finding": "ok",
            "against": [{"whose": "the champion, version 6", "finding": "ok", "said": ["the same data"]}],
            "notes": [],
        },
        "figures": {
            "accuracy": score,
            "accuracy_low": score - half,
            "accuracy_high": score + half,
            "gap_at_best": 0.031,
        },
        "run": f"{name}/candidate",
        "decision": decision(),
    }
    return Night(**ordinary | changes)


def earlier(n=6):
    """Nights before it: one that failed among them."""
    made = []
    for place in range(n):
        day = 24 - n + place
        changes = {} if place == 0 else {"decision": decision(promoted=False), "verdict": "version 5 was not promoted"}
        if place == n - 2:
            failed = {"decision": {}, "figures": {}, "finished": False, "verdict": "", "saved": ""}
            changes = failed | {"part": "train", "reason": "no space left"}
        changes["settings"] = {"search.seed": place, "train.epochs": 20, "prepare.task": "multiclass"}
        made.append(night(f"night-2026-11-{day:02}-0100", day=day, score=0.85 + 0.003 * place, **changes))
    return made


def study(**changes):
    """Its search: what `studied` has, with a round that changed the space and was told by a hostile name."""
    rounds = (Round(first_trial=0, changes=()), Round(first_trial=10, changes=(f"learning rate from {HOSTILE}",)))
    return facts_of(ledger(), rounds=rounds, **changes)


def facts(**changes):
    """All that a page can have."""
    found = study()
    ordinary = {
        "night": night(),
        "earlier": earlier(),
        "rows": found.rows,
        "study": found,
        "focus": {"optimizer.learning_rate": Float(type="float", low=0.002, high=0.02, log=True)},
        "effects": [Effect(study="s", trial=12, verdict="overfitting", remedy="dropout", score=0.011, gap=-0.04)],
        "known_effects": 9,
        "places": {"the candidate": "/data/pictures/outputs/evaluate/report.html"},
    }
    return NightFacts(**ordinary | changes)
