"""What a check finds."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How grave a finding is: with a problem, a night fails or loses something."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the table.

    Args:
        subject: What was looked at.
        found: What is so.
        mend: What to do about it, as an instruction; empty when all is well.
    """

    subject: str
    grade: Grade
    found: str
    mend: str = ""


def ok(subject: str, found: str) -> Finding:
    """All is well."""
    return Finding(subject=subject, grade=Grade.OK, found=found)


def warning(subject: str, found: str, mend: str) -> Finding:
    """Something a person should know."""
    return Finding(subject=subject, grade=Grade.WARNING, found=found, mend=mend)


def problem(subject: str, found: str, mend: str) -> Finding:
    """Something that must be mended."""
    return Finding(subject=subject, grade=Grade.PROBLEM, found=found, mend=mend)
