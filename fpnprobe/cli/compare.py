"""`fpnprobe compare`: two runs, two detection files or two variants, differences with intervals."""

import json
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def compare(
        context: typer.Context,
        baseline: Annotated[
            Path,
            typer.Argument(
                metavar="A",
                help="A cell's folder, a work_dir or a detection file; or a study, with --a and "
                "--b.",
            ),
        ],
        other: Annotated[
            Path | None,
            typer.Argument(metavar="[B]", help="What is compared with A: a folder or a file."),
        ] = None,
        a: Annotated[
            str, typer.Option("--a", metavar="VARIANT", help="Of a study: the baseline.")
        ] = "",
        b: Annotated[
            str, typer.Option("--b", metavar="VARIANT", help="Of a study: what is compared.")
        ] = "",
        annotations: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="COCO annotations; for detection files only."),
        ] = None,
        iou_type: Annotated[
            str | None,
            typer.Option(metavar="KIND", help="bbox or segm; bbox, or the study's, by default."),
        ] = None,
        area: Annotated[
            str | None,
            typer.Option(
                metavar="KIND",
                help="box: take each object's area from its box; that of the runs by default.",
            ),
        ] = None,
        resamples: Annotated[
            int, typer.Option(metavar="NUMBER", help="Bootstrap resamples.")
        ] = 1000,
        seed: Annotated[int, typer.Option(metavar="NUMBER", help="Seed of the resampling.")] = 0,
        as_json: Annotated[
            bool,
            typer.Option("--json", help="Print {metric: {a, b, difference, low, high}} as JSON."),
        ] = False,
    ) -> None:
        """Compare B with A in AP points: by size, differences with 95 % intervals.

        Two variants of a study are compared over all their seeds, from what the study has stored:
        fpnprobe compare reports/variants --a DC5 --b FPN
        """
        from fpnprobe.errors import FpnProbeError

        if a or b:
            if other is not None or not (a and b):
                raise FpnProbeError(
                    "variants of a study are compared by one folder, --a VARIANT and --b VARIANT"
                )
            _refuse_options(context)
            from fpnprobe.store.study import StoredStudy
            from fpnprobe.suggestions import select_names

            # a misspelling is told before what reads tables is imported
            select_names((a, b), StoredStudy.read(baseline).variants, "variant")
            import fpnprobe
            from fpnprobe.notebook.differences import differences_as_json, differences_as_text

            run = fpnprobe.open(baseline)
            differences = run.compare(a, b)
            typer.echo(
                json.dumps(differences_as_json(differences))
                if as_json
                else differences_as_text(differences, a=a, b=b, name=run.name_metric)
            )
            return
        if other is None:
            raise FpnProbeError(
                f"{baseline} is to be compared with what? Give a second folder or file, or --a "
                "VARIANT --b VARIANT of a study"
            )
        for path in (baseline, other):
            if not path.exists():
                raise FpnProbeError(
                    f"{path} does not exist: give a cell's folder or a detection file"
                )
        from fpnprobe.evaluation import compare_runs

        result = compare_runs(
            baseline,
            other,
            annotations=annotations,
            iou_type=iou_type,
            area=area,
            resamples=resamples,
            seed=seed,
        )
        for line in dict.fromkeys(result.warnings):
            typer.echo(f"warning: {line}", err=True)
        if as_json:
            typer.echo(json.dumps(result.as_json()))
        else:
            typer.echo(f"a: {baseline}, b: {other}; difference: b - a\n{result!r}")


def _refuse_options(context: typer.Context) -> None:
    """Raise for an option that the stored comparison of two variants cannot answer for."""
    from fpnprobe.errors import FpnProbeError

    for name in ("annotations", "iou_type", "area", "resamples", "seed"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--" + name.replace("_", "-")
            raise FpnProbeError(
                f"{option} is for two cells or files: --a and --b read what the study has stored; "
                f"leave {option} out, or give the folders of two cells"
            )
