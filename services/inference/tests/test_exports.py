"""What the package shows is what it means to show."""

import hemline_inference


def test_every_export_exists_and_nothing_else_is_public() -> None:
    exported = hemline_inference.__all__
    assert exported == sorted(exported)
    public = {name for name in vars(hemline_inference) if not name.startswith("_")}
    assert set(exported) == public
