import base64
import gzip
import re

import pytest

from convlens.errors import ConvlensError
from convlens.widget import bundle


def test_module_unpacks_to_the_file_that_was_built(monkeypatch):
    monkeypatch.delenv("ANYWIDGET_HMR", raising=False)
    loader = bundle.module()
    assert isinstance(loader, str)
    found = re.search(r'atob\("([^"]+)"\)', loader)
    assert found
    built = bundle.bundle("lens.js").read_bytes()
    assert gzip.decompress(base64.b64decode(found[1])) == built
    assert len(loader) < len(built)


def test_module_is_the_file_itself_where_changes_are_reloaded(monkeypatch):
    monkeypatch.setenv("ANYWIDGET_HMR", "1")
    assert bundle.module() == bundle.STATIC / "lens.js"


def test_front_end_that_is_not_built_is_said_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(bundle, "STATIC", tmp_path)
    with pytest.raises(ConvlensError, match=r"is not built .* run `make build`"):
        bundle.bundle("lens.js")


def test_what_every_saved_notebook_carries_stays_small():
    loader, style = bundle.module(), bundle.bundle("lens.css").read_text("utf-8")
    assert isinstance(loader, str)
    assert len(loader) + len(style) < 165_000  # leaves 35 kB of the 200 for what a Lens shows
    packed = bundle.bundle("lens.js.gz").stat().st_size + len(gzip.compress(style.encode()))
    assert packed < 100_000
