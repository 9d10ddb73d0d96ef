"""The studies that come with the package, by name: `fpnprobe run-study quickstart`."""

import ast
from pathlib import Path
from typing import NamedTuple

import fpnprobe

_PACKAGE = Path(fpnprobe.__file__).parent


class ShippedStudy(NamedTuple):
    """A study that comes with the package.

    Attributes:
        name: What `run-study` takes, as `quickstart` or `table3/fcos`.
        file: Its study file.
        question: The question that it asks; "" where its base asks it.
    """

    name: str
    file: Path
    question: str


def shipped_folder() -> Path:
    """Return the folder of the studies: inside an installed package, beside it in a checkout."""
    inside = _PACKAGE / "studies"
    return inside if inside.is_dir() else _PACKAGE.parent / "studies"


def find_shipped(name: str | Path) -> Path | None:
    """Return the study file that a name means, or None.

    >>> find_shipped("quickstart").name, find_shipped("studies/table3/fcos").name
    ('study.py', 'fcos.py')
    >>> find_shipped("no-such-study") is None, find_shipped("../studies/quickstart") is None
    (True, True)
    """
    steps = Path(name).parts
    if steps[:1] == ("studies",):  # as it is written in a checkout
        steps = steps[1:]
    if not steps or ".." in steps or Path(name).is_absolute():
        return None
    path = shipped_folder().joinpath(*steps)
    candidates = (path / "study.py", path.with_name(f"{path.name}.py"), path)
    return next((file for file in candidates if file.suffix == ".py" and file.is_file()), None)


def list_shipped() -> list[ShippedStudy]:
    """List every study of the package, those of a folder's other files after its `study.py`."""
    folder = shipped_folder()
    files = sorted(folder.glob("*/*.py"), key=lambda file: (file.parent, file.name != "study.py"))
    return [
        ShippedStudy(
            file.parent.name if file.name == "study.py" else f"{file.parent.name}/{file.stem}",
            file,
            _read_question(file),
        )
        for file in files
    ]


def _read_question(file: Path) -> str:
    """Read the question, or else the title, of a study file without running it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "question"
        ):
            return " ".join(str(ast.literal_eval(node.value)).split())
    return (ast.get_docstring(tree) or "").split("\n")[0]
