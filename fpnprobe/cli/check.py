"""`fpnprobe check`: do the invariants hold on this model?"""

import os
from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command()
    def check(
        configs: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="[CONFIG...]", help="mmdet config files, or names shipped with mmdet."
            ),
        ] = None,
        every: Annotated[
            bool, typer.Option("--all", help="Every detector family of mmdet's zoo.")
        ] = False,
        out: Annotated[
            Path | None,
            typer.Option(help="CSV that each row is added to; configs in it are not tried again."),
        ] = None,
        data: Annotated[
            Path | None, typer.Option(help="COCO folder of the batch; generated without it.")
        ] = None,
        split: Annotated[str, typer.Option(help="Name of its annotation file.")] = "val",
        size: Annotated[int, typer.Option(help="Side of the images, in px.")] = 160,
        tolerance: Annotated[float, typer.Option(help="Largest relative residual.")] = 1e-5,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
        markdown: Annotated[bool, typer.Option(help="Print a Markdown table.")] = False,
    ) -> None:
        """Check that buckets and routes add up on a model; exit code 1 beyond the tolerance.

        Rows are printed as they come; a config that cannot be checked does not stop the others.
        """
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a text encoder would be fetched, five times
        from fpnprobe.config.mmdet_configs import config_file
        from fpnprobe.errors import ClaimFailed, FpnProbeError

        # what is missing or misspelled is told before mmdet is imported
        if not configs and not every:
            raise FpnProbeError("nothing to check: name a config, or give --all")
        if configs and len(configs) == 1 and not every:
            config_file(configs[0])
        import fpnprobe.mm  # noqa: F401
        from fpnprobe.mm.inspect import check, check_table, zoo, zoo_table
        from fpnprobe.mm.inspect.check.result import CheckResult

        names = [*(configs or ()), *(zoo.CONFIGS if every else ())]
        stored = [] if out is None else zoo_table.read_rows(out)
        tried = {row.config for row in stored}
        names = [name for name in names if name not in tried]
        results: list[CheckResult] = []
        if not as_json:
            for line in check_table.head(names, markdown=markdown):
                typer.echo(line)
        for config in names:
            typer.echo(f"checking {config}", err=True)
            try:
                outcome = check.check_config(
                    config, size=size, tolerance=tolerance, data=data, split=split
                )
            except FpnProbeError as error:
                outcome = CheckResult.failed(config, tolerance, error)
            results.append(outcome)
            if out is not None:
                stored.append(zoo_table.ZooRow.of(outcome, check_table.problem([outcome])))
                zoo_table.append_row(out, stored[-1])
            if not as_json:
                typer.echo(check_table.line(outcome, names, markdown=markdown))
        if as_json:
            typer.echo(check_table.as_json(results))
        elif len(results) == 1 and not markdown:
            for name, labels in results[0].labels_by_loss().items():
                typer.echo(f"  {name}: labels {labels}")
        if every and not as_json:
            rows = stored or [
                zoo_table.ZooRow.of(checked, check_table.problem([checked])) for checked in results
            ]
            typer.echo(zoo_table.summary(rows))
        for result in results:
            if problem := check_table.problem([result]):
                typer.echo(f"error: {problem}", err=True)
        codes = [r.exit_code or (0 if r.ok else ClaimFailed.exit_code) for r in results]
        if max(codes, default=0):
            raise typer.Exit(max(codes))
