"""Parameters of deployments, with their bounds; what they mean stands in the docstrings, which the form shows."""

from typing import Annotated

from pydantic import Field

Overrides = list[Annotated[str, Field(pattern=r"^[\w.]+\s*=.*$")]]
LimitHours = Annotated[float, Field(gt=0.0, le=168.0)]
MissedHours = Annotated[float, Field(ge=0.0, le=168.0)]
Resumes = Annotated[int, Field(ge=0, le=20)]
