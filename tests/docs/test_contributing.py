"""The issue forms are what GitHub takes, and the files at the top that the site includes have no link that breaks there."""

import re
from pathlib import Path

import pytest

from android_bench.record import SCHEMA_VERSION
from larqnets.decompose.container import VERSION as CBD_VERSION
from larqnets.runs.card import RUN_FORMAT

ROOT = Path(__file__).parents[2]
FORMS = ROOT / ".github/ISSUE_TEMPLATE"
INCLUDED = {"contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}
# GitHub's schema of issue forms: the kinds of fields, and which keys a field's attributes must and may have.
FIELDS = {
    "markdown": ({"value"}, set()),
    "input": ({"label"}, {"description", "placeholder", "value"}),
    "textarea": ({"label"}, {"description", "placeholder", "value", "render"}),
    "dropdown": ({"label", "options"}, {"description", "multiple", "default"}),
    "checkboxes": ({"label", "options"}, {"description"}),
}


def parsed(name: str):
    yaml = pytest.importorskip("yaml", reason="needs PyYAML, which comes with mkdocs")
    return yaml.safe_load((FORMS / name).read_text())


@pytest.mark.parametrize("name", sorted(path.name for path in FORMS.glob("*.yml") if path.name != "config.yml"))
def test_a_form_has_the_keys_that_github_asks_for(name):
    form = parsed(name)
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "title", "labels", "body"}
    assert all(isinstance(form[key], str) and form[key] for key in ("name", "description"))
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert fields, "a form with markdown alone is refused"
    assert len({field["id"] for field in fields}) == len(fields)
    assert any(field.get("validations", {}).get("required") for field in fields)
    for field in form["body"]:
        must, may = FIELDS[field["type"]]
        assert set(field) <= {"type", "id", "attributes", "validations"}
        assert must <= set(field["attributes"]) <= must | may
        assert re.fullmatch(r"[\w-]+", field.get("id", "none"))
        assert set(field.get("validations", {})) <= {"required"}
    labels = [field["attributes"]["label"] for field in fields]
    assert len(set(labels)) == len(labels)


def test_the_forms_are_those_that_the_page_names():
    names = {path.name for path in FORMS.iterdir()}
    assert names == {"android_app.yml", "bug.yml", "config.yml", "device_record.yml"}
    assert parsed("config.yml") == {"blank_issues_enabled": True}
    for form in ("android_app.yml", "device_record.yml"):
        assert f'"{parsed(form)["name"]}"' in (ROOT / "CONTRIBUTING.md").read_text()
    assert f'"{parsed("android_app.yml")["name"]}"' in (ROOT / "docs/guides/android-app.md").read_text()


@pytest.mark.parametrize(("page", "file"), INCLUDED.items())
def test_an_included_file_has_links_that_work_from_everywhere(page, file):
    assert (ROOT / "docs/develop" / f"{page}.md").read_text() == f'--8<-- "{file}"\n'
    targets = re.findall(r"\]\(([^)]+)\)", (ROOT / file).read_text())
    assert all(target.startswith("https://") for target in targets), targets


def test_the_changelog_keeps_its_form_and_states_todays_versions():
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", version) for version in versions[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "File formats and schema versions"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| ([^|]+) \|", text, re.MULTILINE)
    stated = {name.split(",")[0].strip("`"): (int(version), reads) for name, version, reads in rows}
    assert stated["record of a session"] == (SCHEMA_VERSION, f"1 to {SCHEMA_VERSION - 1}")
    assert stated["run folder and card"][0] == RUN_FORMAT
    assert stated[".cbd"][0] == CBD_VERSION


def test_commands_of_make_that_the_page_names_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    lines = [line.partition("#")[0] for line in re.findall(r"^make (.*)$", text, re.MULTILINE)]
    named = {word for line in (*lines, *re.findall(r"`make ([^`]+)`", text)) for word in line.split()}
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"install", "test", "lint", "docs"} <= named <= targets
