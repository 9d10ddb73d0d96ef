"""The section on where every number comes from: one row of facts a cell, from its manifest."""

from typing import Any

import pandas as pd

from fpnprobe.report.page.content import Section, Table
from fpnprobe.report.sections.soundness import number
from fpnprobe.report.tables.cells import Cell
from fpnprobe.report.tables.stored import Stored


def section(stored: Stored) -> Section:
    """Show the manifests: code, data, device, timings, probe."""
    rows = [_list_facts(cell) for cell in stored.cells]
    names = list(dict.fromkeys(k for row in rows for k in row))
    table = pd.DataFrame(rows, columns=names)
    return Section(
        "provenance",
        "Where every number comes from",
        [
            Table(
                "manifest",
                "Cells",
                "One row per cell, from its manifest. The key is the hash of the resolved "
                "configuration, seed, data and code: the same key is the same experiment.",
                table,
                {name: name for name in names},
                {
                    "train s": "{:.0f}", "s per iteration": "{:.3f}", "probe cost %": "{:.1f}",
                    "parameters M": "{:.2f}", "GFLOPs": "{:.2f}",
                },
            )
        ],
    )  # fmt: skip


def tell_origin(stored: Stored) -> str:
    """Tell when, where and by which version the cells were made; "" if none tells."""
    manifests = [cell.manifest for cell in stored.done]
    dates = sorted({str(m["finished"])[:10] for m in manifests if m.get("finished")})
    devices = sorted({str(m["device"]) for m in manifests if m.get("device")})
    versions = sorted(
        {str(v["torch"]) for m in manifests if (v := m.get("versions") or {}).get("torch")}
    )
    codes = sorted(
        {str(g["revision"])[:10] for m in manifests if (g := m.get("git") or {}).get("revision")}
    )
    phrases = [
        " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "",
        f"on {', '.join(devices)}" if devices else "",
        f"with torch {', '.join(versions)}" if versions else "",
        f"by revision {', '.join(codes)}" if codes else "",
    ]
    sentence = " ".join(phrase for phrase in phrases if phrase)
    return f"Measured {sentence}." if sentence else ""


def _list_facts(cell: Cell) -> dict[str, Any]:
    m = cell.manifest
    git, data, timings = (m.get(key) or {} for key in ("git", "data", "timings"))
    probe, model = (m.get(key) or {} for key in ("probe", "model"))

    revision = str(git.get("revision") or "")[:10]
    return {
        "variant": cell.name,
        "study": cell.study,
        "seed": cell.seed,
        "state": cell.state,
        "key": str(m.get("key") or "–")[:12],
        "code": (revision + ("*" if git.get("dirty") else "")) or "–",
        "data": str(data.get("root_hash") or "–")[:12],
        "images": _count_images(data.get("images") or m.get("images")),
        "device": str(m.get("device") or "–"),
        "train s": number(timings.get("train_s")),
        "s per iteration": number(timings.get("per_iteration_s")),
        "probe cost %": 100 * number(probe.get("cost")),
        "parameters M": 1e-6 * number(model.get("parameters")),
        "GFLOPs": 1e-9 * number(model.get("flops")),
    }


def _count_images(value: Any) -> str:
    """Write the number of training and of validation images."""
    return " + ".join(str(v) for v in value) if isinstance(value, list) else str(value or "–")
