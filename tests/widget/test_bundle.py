import base64
import gzip
import json
import re

import pytest

from convlens.errors import ConvlensError
from convlens.widget import bundle


def test_module_unpacks_to_the_files_that_were_built(monkeypatch):
    monkeypatch.delenv("ANYWIDGET_HMR", raising=False)
    loader = bundle.module()
    assert isinstance(loader, str)
    found = re.search(r'atob\("([^"]+)"\)', loader)
    assert found
    script, style = (bundle.bundle(f"lens.{end}").read_text("utf-8") for end in ("js", "css"))
    unpacked = gzip.decompress(base64.b64decode(found[1])).decode()
    assert unpacked.startswith(script)
    brought = unpacked.removeprefix(script).strip()
    assert json.loads(brought.removeprefix("export const style = ").removesuffix(";")) == style
    assert bundle.style() == ""


def test_module_is_the_file_itself_where_changes_are_reloaded(monkeypatch):
    monkeypatch.setenv("ANYWIDGET_HMR", "1")
    assert bundle.module() == bundle.STATIC / "lens.js"
    assert bundle.style() == bundle.STATIC / "lens.css"


def test_front_end_that_is_not_built_is_said_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(bundle, "STATIC", tmp_path)
    with pytest.raises(ConvlensError, match=r"is not built .* run `make build`"):
        bundle.bundle("lens.js")


def test_what_every_saved_notebook_carries_stays_small():
    loader = bundle.module()
    assert isinstance(loader, str)
    assert len(loader) < 135_000  # leaves 65 kB of the 200 for what a Lens shows
    assert bundle.bundle("lens.js.gz").stat().st_size < 100_000
