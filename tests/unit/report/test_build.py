"""The whole report from a study folder, also where parts are missing or hostile."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.report import build
from fpnprobe.report.compose import compose
from fpnprobe.report.page.html import LINKS
from fpnprobe.report.sections import caveats
from fpnprobe.report.tables.read_studies import read

HOSTILE = (
    "DC5",
    '<script>alert("x")</script>&amp;',
    "100% $x_1$ \\alpha #let",
    "🦊 ✓",
    "n" * 200,
    "]]>--><!-- {{ 7*7 }} {% raw %}\x07\nend",
)
FIGURES = {
    "figure-1", "figure-2", "figure-3", "figure-4", "figure-5", "figure-5-energy",
    "differences", "routes",
    "all-object-index", "share-history", "conflict", "size-curve", "error-types",
    "learning-curves", "probe-cost", "losses", "learning-rate", "kept-shares", "kept-index",
}  # fmt: skip


class Page(HTMLParser):
    """Ids, elements, references and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [str(given["id"])] if "id" in given else []
        for name in ("href", "xlink:href", "src", "aria-labelledby", "aria-describedby"):
            if given.get(name):
                self.links.append(str(given[name]))


def warnings(folder: Path) -> str:
    return re.sub(r"(?s).*<aside(.*?)</aside>.*", r"\1", (folder / "report.html").read_text())


def test_everything_is_written(make_study: Callable[..., Path]) -> None:
    folder = make_study(training=True, kept=(250, 500))
    result = build(folder)
    assert result["note"] == ""
    assert Path(result["pdf"]).read_bytes().startswith(b"%PDF")
    assert {path.stem for path in folder.glob("figures/*.svg")} == FIGURES
    tables = {path.stem for path in folder.glob("tables/*.csv")}
    assert tables >= FIGURES | {"residuals", "manifest", "average-precision", "variants"}
    assert not tables & {"table1", "table4"}, "tables of the paper that nothing was measured of"
    assert "kept-numbers" in tables
    html = Path(result["html"]).read_text()
    assert len(html) < 5_000_000
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    outside = {"report.md", *(address for _, address in LINKS)}
    inside = {link.removeprefix("#") for link in page.links if not link.startswith("data:")}
    assert inside - outside <= set(page.ids), "a reference that leads out of the page"
    assert page.tags.count("script") == 1
    requested = re.findall(r"(?:src|url)\W{1,3}https?://", html)
    assert not requested, "the page asks the network for nothing"
    text = Path(result["markdown"]).read_text()
    assert text.startswith("# Does the pyramid") and "| DC5 |" in text and "## Words" in text
    assert "DC5" in result["summary"] and result["headline"] in text
    claims = json.loads(Path(result["claims"]).read_text())
    assert claims["rule"]
    assert {claim["verdict"] for claim in claims["claims"]} == {"undecided", "not run"}


def test_same_input_same_bytes(make_study: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_study(terms=False)
    build(folder, out=tmp_path / "one")
    build(folder, out=tmp_path / "elsewhere" / "two")
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) > 30
    for name in files:
        one, two = (tmp_path / "one" / name), (tmp_path / "elsewhere" / "two" / name)
        assert one.read_bytes() == two.read_bytes(), name
    assert str(tmp_path) not in (tmp_path / "one" / "report.html").read_text()


def test_figures_that_a_report_has_no_more_go_but_nothing_in_a_folder_of_yours(
    make_study: Callable[..., Path], tmp_path: Path
) -> None:
    study, yours = make_study(), tmp_path / "yours"
    for folder in (study, yours):
        (folder / "figures").mkdir(parents=True)
        (folder / "figures" / "former.svg").write_text("<svg/>")
        (folder / "figures" / "note.txt").write_text("kept")
    build(study)
    build(study, out=yours)
    assert not (study / "figures" / "former.svg").exists()
    assert (study / "figures" / "note.txt").exists()
    assert (study / "figures" / "figure-1.svg").exists()
    assert (yours / "figures" / "former.svg").exists()


def test_hostile_names_are_shown_as_they_are(make_study: Callable[..., Path]) -> None:
    question = '<b>Why</b> & "how" #strong[x] $y$?'
    folder = make_study(variants=HOSTILE, study={"name": "<i>s</i>", "question": question})
    result = build(folder)
    assert result["note"] == ""
    html = (folder / "report.html").read_text()
    page = Page(html)
    assert page.tags.count("script") == 1
    assert not {"b", "i"} & set(page.tags)
    assert "7*7" in html and "&lt;b&gt;Why&lt;/b&gt;" in html
    assert "n" * 200 in html, "the full name stands in the provenance"
    table = pd.read_csv(folder / "tables" / "manifest.csv")
    assert set(table["variant"]) == {re.sub(r"[\x00-\x1f]+", " ", name) for name in HOSTILE}


def test_holes_are_named(make_study: Callable[..., Path]) -> None:
    folder = make_study(variants=("DC5", "FPN"), seeds=(0, 1, 2), evidence=False)
    cells = {path.parent.name + "/" + path.name: path for path in folder.glob("cells/*/*")}
    (cells["dc5/seed-0"] / "ledger.parquet").write_bytes(b"PAR1 cut")
    (cells["dc5/seed-1"] / "evaluation.parquet").unlink()
    file = cells["fpn/seed-0"] / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "state": "failed", "reason": "loss is nan"}))
    whole = cells["dc5/seed-2"] / "manifest.json"
    holes = {"features": "no pyramid"}
    whole.write_text(json.dumps({**json.loads(whole.read_text()), "holes": holes}))
    (cells["fpn/seed-1"] / "manifest.json").write_text('{"variant": "FP')
    shutil.rmtree(cells["fpn/seed-2"])
    build(folder)
    text = warnings(folder)
    assert "DC5, seed 0: the ledger is no readable parquet file" in text
    assert "DC5, seed 1 has no evaluation" in text
    assert "FPN, seed 0: failed: loss is nan" in text
    assert "FPN, seed 1: damaged: manifest.json cannot be read" in text
    assert "DC5, seed 2: no feature maps: no pyramid" in text
    assert "FPN, seed 2: missing: never started" in text
    table = pd.read_csv(folder / "tables" / "average-precision.csv")
    assert list(table["state"]) == ["done", "done", "done", "failed", "damaged", "missing"]


def test_nothing_measured_yet(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"name": "new", "variants": ["FPN"], "seeds": [0]}')
    build(tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "Not answered yet" in html
    assert "Not measured" not in html  # sections without data of their own are left out


@pytest.mark.parametrize(
    ("samples", "end"),
    [(1, ": the first sample is always taken; a training of some 100 iterations keeps it."),
     (9, ".")],
)  # fmt: skip
def test_a_cost_over_the_budget_says_how_long_a_training_keeps_it(
    make_study: Callable[..., Path], samples: int, end: str
) -> None:
    """A sample of two steps' time is 2 % of a hundred steps."""
    probe = {"cost": 0.4, "budget": 0.02, "step_s": 0.5, "extra_s": 1.0, "samples": samples}
    text = caveats.warnings(read([make_study(manifest={"probe": probe})]))
    assert any(line.endswith(f"over its budget of 2.00 %{end}") for line in text), text


def test_warnings_of_a_careful_reader(make_study: Callable[..., Path]) -> None:
    probe = {"cost": 0.034, "budget": 0.02, "interval": 50}
    folder = make_study(frozen=("C2",), manifest={"probe": probe})
    for path in folder.glob("cells/fpn/*/ledger.parquet"):
        pd.read_parquet(path).assign(residual_gradient=3e-4).to_parquet(path)
    text = " ".join(caveats.warnings(read([folder])))
    assert "Frozen: no gradient trains the parameters of C2 in DC5, FPN." in text
    assert "the probe cost 3.40 % of the step, over its budget of 2.00 %" in text
    assert "One seed for DC5, FPN" in text
    assert "AP was evaluated on 200 images" in text
    assert "FPN, seed 0: a residual is over its tolerance of 1e-05" in text


def test_several_studies_in_one_report(make_study: Callable[..., Path]) -> None:
    names = ("DC5", "FPN", "FPN-Aux")
    one = make_study("one", study={"name": "one"}, variants=names)
    other = {"name": "two", "detector": {"framework": "retinanet"}}
    two = make_study("two", study=other, variants=names)
    report = compose(read([one, two]), [])
    tables = {table.name: table.frame for table in report.tables()}
    table = tables["average-precision"]
    assert list(table["variant"]) == [
        f"{study}: {name}" for study in ("one", "two") for name in names
    ]
    differences = next(f.table for f in report.figures() if f.name == "differences")
    pairs = set(zip(differences["variant"], differences["baseline"], strict=True))
    assert pairs == {
        (f"{study}: {name}", f"{study}: DC5") for study in ("one", "two") for name in names[1:]
    }
    measured = tables["table1"].dropna(subset="AP ours value")
    assert set(measured["detector"]) == {"RetinaNet", "Faster R-CNN"}


def test_studies_of_one_name_stay_apart(make_study: Callable[..., Path]) -> None:
    """Two presets of one study: each is named by its folder, and none of its cells is lost."""
    one, two = make_study("gpu"), make_study("retinanet")
    stored = read([one, two])
    assert stored.variants == ["gpu: DC5", "gpu: FPN", "retinanet: DC5", "retinanet: FPN"]
    assert len(stored.cells) == len(set(stored.variants)) == 4
    with pytest.raises(FpnProbeError, match="given twice"):
        read([one, one])


def test_a_detector_of_two_backbones_fills_its_own_row(make_study: Callable[..., Path]) -> None:
    variants = ("FPN", "FPN-CFG3")
    swin = make_study("swin", variants=variants, study={
        "name": "swin", "detector": {"config": "mask-rcnn_swin-t-p4-w7_fpn_1x_coco"}})  # fmt: skip
    tables = {table.name: table.frame for table in compose(read([swin]), []).tables()}
    measured = tables["table3"].dropna(subset="AP ours value")
    assert set(measured["backbone"]) == {"Swin-T"}


def test_another_backbone_has_a_row_of_its_own(make_study: Callable[..., Path]) -> None:
    lite = {"framework": "faster_rcnn", "backbone": "lite0"}
    folder = make_study(variants=("FPN", "FPN-CFG3"), study={"detector": lite})
    table = {t.name: t.frame for t in compose(read([folder]), []).tables()}["table3"]
    measured = table.dropna(subset="AP ours value")
    assert set(measured["backbone"]) == {"EfficientNet-Lite0 (not the paper's)"}
    assert list(measured["neck"]) == ["FPN", "CFG"]
    assert measured["AP paper value"].isna().all()
    assert "(" in measured["AP ours"].iloc[1], "its change is against its own FPN"
    only = make_study("only", variants=("FPN-CFG3",), study={"detector": lite}, evidence=False)
    table = {t.name: t.frame for t in compose(read([only]), []).tables()}["table3"]
    assert "(" not in table.dropna(subset="AP ours value")["AP ours"].iloc[0]


def test_a_trial_that_finds_nothing_says_so(make_study: Callable[..., Path]) -> None:
    folder = make_study(seeds=(0,), evidence=False)
    for file in folder.glob("cells/*/*/evaluation.parquet"):
        pd.read_parquet(file).assign(value=0.0).to_parquet(file, index=False)
    stored = read([folder])
    (line,) = (each for each in caveats.warnings(stored) if "finds anything" in each)
    assert "differences between variants say nothing" in line
    captions = {figure.name: figure.caption for figure in compose(stored, []).figures()}
    assert captions["figure-3"].startswith("No variant finds small objects (0.0) and no variant")
    assert captions["figure-1"].startswith("Neither variant finds anything: from DC5")
    other = read([make_study("other")])
    assert not any("finds anything" in each for each in caveats.warnings(other))


def test_masks_beside_boxes(make_study: Callable[..., Path]) -> None:
    """A study that judges both fills Table 3 with boxes and Table 4 with masks."""
    detector = {"config": "mask-rcnn_r101_fpn_1x_coco"}
    evaluation = {"iou_type": ["bbox", "segm"]}
    folder = make_study(
        variants=("FPN", "FPN-CFG3"), study={"detector": detector, "evaluation": evaluation}
    )
    for file in folder.glob("cells/*/*/evaluation.parquet"):
        boxes = pd.read_parquet(file)
        masks = boxes.assign(iou_type="segm", value=boxes["value"] / 2)
        pd.concat([boxes, masks]).to_parquet(file, index=False)
    stored = read([folder])
    assert stored.iou_type == "bbox"
    tables = {table.name: table.frame for table in compose(stored, []).tables()}
    three, four = (
        tables[name].dropna(subset="AP ours value").set_index("neck")["AP ours value"]
        for name in ("table3", "table4")
    )
    assert (four == three / 2).all() and list(four.index) == ["FPN", "CFG"]
    cells = tables["average-precision"]
    assert (cells["mask AP_L"] == cells["AP_L"] / 2).all()
    assert not any("that of masks" in line for line in caveats.warnings(stored))


def test_no_engine_no_pdf_but_a_page(
    make_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_study(variants=(), seeds=(), evidence=False)
    (folder / "report.pdf").write_bytes(b"of an older run")
    monkeypatch.setitem(sys.modules, "typst", None)
    result = build(folder)
    assert result["pdf"] is None
    assert result["note"].endswith("the package typst is missing; pip install typst")
    assert not (folder / "report.pdf").exists()
    assert (folder / "report.html").exists()


def test_an_engine_that_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import typst

    from fpnprobe.report.page.content import Report
    from fpnprobe.report.page.pdf import typeset

    def refuse(*args: object, **options: object) -> bytes:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(typst, "compile", refuse)
    report = Report("t", "q", "", "a", [], [], [], [])
    with pytest.raises(EnvironmentProblem, match="typst says first second"):
        typeset(report, {})


def test_the_verb_prints_what_it_wrote(make_study: Callable[..., Path]) -> None:
    import fpnprobe.cli.report

    app = typer.Typer()
    app.callback()(lambda: None)
    fpnprobe.cli.report.add(app)
    folder = make_study(variants=(), seeds=(), evidence=False)
    result = CliRunner().invoke(app, ["report", str(folder), "--json"])
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    documents = ("html", "markdown", "pdf", "claims", "rules")
    assert set(printed) == {*documents, "headline", "summary", "diagnosis", "found"}
    files = [printed[key] for key in documents]
    assert all(Path(path).exists() for path in files)
    lines = CliRunner().invoke(app, ["report", str(folder)]).stdout.splitlines()
    assert lines[0] == printed["headline"]
    assert lines[1:] == [*files, "Nothing was measured that a rule could be held against."]


def test_not_a_study(tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="not a study folder"):
        build(tmp_path)
    with pytest.raises(FpnProbeError, match="no study folder"):
        build([])


def test_report_needs_no_torch() -> None:
    code = (
        "import fpnprobe.report, sys; assert 'torch' not in sys.modules\n"
        "class Torchless:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] in ('torch', 'mmdet', 'mmengine', 'mmcv'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Torchless())\n"
        "import fpnprobe.report.build, fpnprobe.cli.report"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_large_study_stays_small(make_study: Callable[..., Path]) -> None:
    variants = [
        "DC5",
        "FPN",
        *(f"FPN-CFG{n}" for n in range(1, 4)),
        *(f"own {n}" for n in range(7)),
    ]
    folder = make_study(variants=variants, seeds=(0, 1, 2), iterations=90_000, interval=50)
    start = time.process_time()
    build(folder)
    assert time.process_time() - start < 30
    assert (folder / "report.html").stat().st_size < 8_000_000
