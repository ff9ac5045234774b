"""The forms of the Prefect UI: what is asked for is explained there, for nobody reads the code beside it."""

from pathlib import Path

from flows.deployments import deployments

FILE = Path(__file__).resolve().parents[2] / "infra/prefect.yaml"


def test_each_parameter_of_a_form_is_explained():
    forms = {one.name: one._parameter_openapi_schema.properties for one in deployments(FILE)}
    # There are forms, and each asks for something.
    assert forms and all(forms.values())
    silent = [(name, field) for name, form in forms.items() for field in form if not form[field].get("description")]
    # Prefect takes descriptions from the section Args of a flow's docstring, and drops those of `Annotated`.
    assert silent == []
